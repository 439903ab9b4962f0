//! A process on the functions' core.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Cores;
use crate::services::Services;

/// Peers that write an object for each record are slow.
pub const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The resources that a part of a process's life used.
#[derive(Serialize)]
pub struct Usage {
    pub wall_us: f64,
    /// User and system time of all threads.
    pub cpu_us: f64,
    /// Number of calls to AWS services.
    pub calls: usize,
}

pub struct Process {
    child: Child,
    id: Pid,
    clock: ClockId,
}

impl Process {
    pub fn start(
        command: &[String],
        environment: &BTreeMap<String, String>,
        cores: &Cores,
        services: &Services,
    ) -> Result<Self, Box<dyn Error>> {
        let [executable, arguments @ ..] = command else { return Err("no command".into()) };
        let mut command = Command::new(executable);
        command
            .args(arguments)
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
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
        let child = cores.spawn_function(|| command.spawn())??;
        let id = Pid::from_raw(child.id().ok_or("it ended immediately")?.try_into()?);
        Ok(Self { child, id, clock: clock_getcpuclockid(id)? })
    }

    /// The processor time that it has used so far.
    pub fn cpu(&self) -> nix::Result<Duration> {
        Ok(clock_gettime(self.clock)?.into())
    }

    /// Ends the process so that a program that observes it, like valgrind, can still write its results. Returns its
    /// peak memory in bytes.
    pub async fn stop(mut self) -> Result<u64, Box<dyn Error>> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        let peak_bytes = peak.ok_or("no VmHWM in the process' status")?.parse::<u64>()? * 1024;
        kill(self.id, Signal::SIGTERM)?;
        timeout(LONGEST_WAIT, self.child.wait()).await??;
        Ok(peak_bytes)
    }
}

pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
