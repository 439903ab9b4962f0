//! The process of a function.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::Serialize;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Cores;
use crate::runtime_api::{Poll, RuntimeApi};
use crate::services::Services;

/// Peers that write an object for each record are slow.
const LONGEST_INVOCATION: Duration = Duration::from_secs(300);

/// The resources that a part of a function's life used.
#[derive(Serialize)]
pub struct Usage {
    wall_us: u64,
    /// User and system time of all threads.
    cpu_us: u64,
    /// Number of calls to AWS services.
    calls: usize,
}

/// A function that waits for an event.
pub struct Function {
    process: Child,
    clock: ClockId,
    api: RuntimeApi,
    poll: Poll,
}

impl Function {
    pub async fn start(
        command: &[String],
        environment: &BTreeMap<String, String>,
        cores: &Cores,
        services: &Services,
    ) -> Result<(Self, Usage), Box<dyn Error>> {
        let [executable, arguments @ ..] = command else { return Err("no command".into()) };
        let mut api = RuntimeApi::start().await?;
        let mut command = Command::new(executable);
        command
            .args(arguments)
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", "measured")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/measured")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "measured")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_ENDPOINT_URL", services.url())
            // The variables with which Rust, boto3 and Node.js find certificate authorities; Node.js has its own list
            // in its executable.
            .env("SSL_CERT_FILE", services.certificates())
            .env("AWS_CA_BUNDLE", services.certificates())
            .env("NODE_EXTRA_CA_CERTS", services.authority())
            .envs(environment)
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let calls = services.calls();
        let begin = Instant::now();
        let process = cores.spawn_function(|| command.spawn())??;
        let pid = process.id().ok_or("it ended immediately")?;
        let poll = timeout(LONGEST_INVOCATION, api.poll()).await??;
        let clock = clock_getcpuclockid(Pid::from_raw(pid.try_into()?))?;
        let init = Usage {
            wall_us: micros(poll.at - begin),
            cpu_us: micros(clock_gettime(clock)?.into()),
            calls: services.calls() - calls,
        };
        Ok((Self { process, clock, api, poll }, init))
    }

    pub async fn invoke(&mut self, event: &[u8], services: &Services) -> Result<(Value, Usage), Box<dyn Error>> {
        let (calls, cpu) = (services.calls(), clock_gettime(self.clock)?);
        let begin = Instant::now();
        self.poll.answer(event)?;
        let answer = timeout(LONGEST_INVOCATION, self.api.answer()).await??;
        // Work between its answer and its next poll is part of the invocation.
        self.poll = timeout(LONGEST_INVOCATION, self.api.poll()).await??;
        let usage = Usage {
            wall_us: micros(answer.at - begin),
            cpu_us: micros((clock_gettime(self.clock)? - cpu).into()),
            calls: services.calls() - calls,
        };
        Ok((answer.body?, usage))
    }

    /// Ends the function so that a program that observes it, like valgrind, can still write its results.
    pub async fn stop(mut self) -> Result<(), Box<dyn Error>> {
        let pid = self.process.id().ok_or("it has ended")?;
        kill(Pid::from_raw(pid.try_into()?), Signal::SIGTERM)?;
        timeout(LONGEST_INVOCATION, self.process.wait()).await??;
        Ok(())
    }

    pub fn peak_memory_bytes(&self) -> Result<u64, Box<dyn Error>> {
        let pid = self.process.id().ok_or("it has ended")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        Ok(peak.ok_or("no VmHWM in the process' status")?.parse::<u64>()? * 1024)
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}
