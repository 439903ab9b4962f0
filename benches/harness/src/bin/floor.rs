//! A function that answers with what Valkey has under the key `KEY`, and has only the standard library: no function with a
//! cache can do less. It speaks to Valkey without TLS, because the standard library has none.

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

const RUNTIME: &str = "/2018-06-01/runtime/invocation";

fn main() -> Result<(), Box<dyn Error>> {
    let (address, key) = (env::var("AWS_LAMBDA_RUNTIME_API")?, env::var("KEY")?);
    let (mut api, mut cache) = (connect(&address)?, connect(&env::var("CACHE")?)?);
    let next = format!("GET {RUNTIME}/next HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let get = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
    loop {
        api.get_mut().write_all(next.as_bytes())?;
        let id = response(&mut api)?.ok_or("an event without a request id")?;
        cache.get_mut().write_all(get.as_bytes())?;
        let answer = value(&mut cache)?;
        let mut request = format!(
            "POST {RUNTIME}/{id}/response HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        )
        .into_bytes();
        request.extend(answer);
        api.get_mut().write_all(&request)?;
        response(&mut api)?;
    }
}

fn connect(address: &str) -> std::io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// Reads a response of the runtime API; returns the request's id, if it is an event.
fn response(api: &mut impl BufRead) -> Result<Option<String>, Box<dyn Error>> {
    let (mut id, mut length) = (None, 0_usize);
    loop {
        let mut line = String::new();
        api.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        if name.eq_ignore_ascii_case("lambda-runtime-aws-request-id") {
            id = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("content-length") {
            length = value.parse()?;
        }
    }
    api.read_exact(&mut vec![0; length])?;
    Ok(id)
}

/// Reads a value of Valkey: `$<length>`, and the bytes.
fn value(cache: &mut impl BufRead) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut line = String::new();
    cache.read_line(&mut line)?;
    let length: usize = line.trim_end().strip_prefix('$').ok_or("not a value")?.parse()?;
    let mut value = vec![0; length + 2];
    cache.read_exact(&mut value)?;
    value.truncate(length);
    Ok(value)
}
