//! `parse FILE` prints the microseconds of CPU that simd-json needs to parse a JSON document. It does nothing else.

use std::error::Error;
use std::time::Duration;
use std::{env, fs};

use nix::time::{ClockId, clock_gettime};

const TIMES: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let document = fs::read(env::args().nth(1).ok_or("usage: parse FILE")?)?;
    let mut times = Vec::new();
    let mut buffers = simd_json::Buffers::new(document.len());
    for _ in 0..TIMES {
        // The parser changes its input.
        let mut copy = document.clone();
        let begin = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
        let tape = simd_json::to_tape_with_buffers(&mut copy, &mut buffers)?;
        times.push(Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)? - begin));
        drop(tape);
    }
    times.sort_unstable();
    println!("{}", times[TIMES / 2].as_micros());
    Ok(())
}
