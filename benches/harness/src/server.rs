//! An HTTP server, and clients that each wait for an answer before they send the next request.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::str::from_utf8;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::process::{LONGEST_WAIT, Process, Usage, micros};
use crate::services::Services;
use crate::{Cores, numbered};

/// A server that answers.
pub struct Server {
    process: Process,
    port: u16,
}

impl Server {
    pub async fn start(
        command: &[String],
        environment: &BTreeMap<String, String>,
        port: u16,
        cores: &Cores,
        services: &Services,
    ) -> Result<(Self, Usage), Box<dyn Error>> {
        let begin = Instant::now();
        let process = Process::start(command, environment, cores, services)?;
        timeout(LONGEST_WAIT, async {
            while !is_ready(port).await {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await?;
        let init = Usage { wall_us: micros(begin.elapsed()), cpu_us: micros(process.cpu()?), calls: 0 };
        Ok((Self { process, port }, init))
    }

    /// The answer to one request, in the form of a function's answer to an HTTP API.
    pub async fn ask(&self, path: &str) -> Result<(Value, Usage), Box<dyn Error>> {
        let cpu = self.process.cpu()?;
        let begin = Instant::now();
        let (status, body) = Connection::open(self.port).await?.get(&numbered(path)).await?;
        let usage = Usage { wall_us: micros(begin.elapsed()), cpu_us: micros(self.process.cpu()? - cpu), calls: 0 };
        Ok((json!({ "statusCode": status, "body": from_utf8(&body)? }), usage))
    }

    /// The time of each of so many requests, from several clients, and its part of the processor time.
    pub async fn load(&self, path: &str, clients: usize, requests: usize) -> Result<Vec<Usage>, Box<dyn Error>> {
        let cpu = self.process.cpu()?;
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            tasks.spawn(client(self.port, path.to_owned(), requests / clients));
        }
        let mut times = Vec::new();
        for result in tasks.join_all().await {
            times.extend(result?);
        }
        let cpu_us = micros(self.process.cpu()? - cpu) / times.len() as f64;
        Ok(times.into_iter().map(|time| Usage { wall_us: micros(time), cpu_us, calls: 0 }).collect())
    }

    /// Like [`Process::stop`].
    pub async fn stop(self) -> Result<u64, Box<dyn Error>> {
        self.process.stop().await
    }
}

async fn is_ready(port: u16) -> bool {
    let Ok(mut connection) = Connection::open(port).await else { return false };
    matches!(connection.get("/ready").await, Ok((200, _)))
}

/// The times of one client's requests.
async fn client(port: u16, path: String, requests: usize) -> io::Result<Vec<Duration>> {
    let mut connection = Connection::open(port).await?;
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests {
        let path = numbered(&path);
        let begin = Instant::now();
        let (status, _) = connection.get(&path).await?;
        times.push(begin.elapsed());
        if status != 200 {
            return Err(io::Error::other(format!("GET {path} was answered with {status}")));
        }
    }
    Ok(times)
}

/// HTTP needs little of the processor here: the clients share theirs with the servers behind the measured one.
struct Connection {
    stream: TcpStream,
}

impl Connection {
    async fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// The status and the body.
    async fn get(&mut self, path: &str) -> io::Result<(u16, Vec<u8>)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::with_capacity(16 * 1024);
        loop {
            if self.stream.read_buf(&mut response).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((status, begin)) = complete(&response) {
                return Ok((status, response.split_off(begin)));
            }
        }
    }
}

/// The status, and where the body begins, of a complete response.
fn complete(response: &[u8]) -> Option<(u16, usize)> {
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = from_utf8(&response[..end]).ok()?;
    // Servers need not say how long an empty body is.
    let length: usize = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Some(0), |(_, value)| value.parse().ok())?;
    let begin = end + 4;
    let status: u16 = head.get(9..12)?.parse().ok()?;
    (response.len() >= begin + length).then_some((status, begin))
}
