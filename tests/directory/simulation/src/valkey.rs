//! Valkey, as far as the cache uses it, at the end of a stream.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use simulation::choose;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::{Step, fault, kill, log, now, violate, world};

/// The time for which a token is valid.
const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The time for which the server is full, hangs or refuses connections; in the end, until nothing fails any more.
const PERIODS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(10), Duration::MAX];

/// What becomes of a command, or of the process that sent it.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    AnsweredLate(u64),
    Reset,
    ResetAfterwards,
    Killed,
    KilledAfterwards,
}

const FATES: [Fate; 9] = [
    Fate::Answered,
    Fate::ResetAfterwards,
    Fate::AnsweredLate(20),
    Fate::KilledAfterwards,
    Fate::AnsweredLate(70),
    Fate::Reset,
    Fate::Killed,
    Fate::AnsweredLate(1_500),
    Fate::AnsweredLate(20_000),
];

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    value: Vec<u8>,
    expires: Duration,
}

type Entries = BTreeMap<Vec<u8>, Entry>;

#[derive(Default)]
pub struct Valkey {
    /// Tells a process of the server from others.
    run: u32,
    entries: Entries,
    /// The entries at the beginning of each step.
    copies: Vec<Entries>,
    connections: Vec<AbortHandle>,
    is_full_until: Duration,
    hangs_until: Duration,
    refuses_until: Duration,
}

enum Reply {
    Ok,
    Nil,
    Bulk(Vec<u8>),
    Integer(i64),
    Error(&'static str),
}

impl Reply {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Ok => b"+OK\r\n".to_vec(),
            Self::Nil => b"$-1\r\n".to_vec(),
            Self::Bulk(bytes) => [format!("${}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat(),
            Self::Integer(number) => format!(":{number}\r\n").into_bytes(),
            Self::Error(error) => format!("-{error}\r\n").into_bytes(),
        }
    }
}

/// A connection of a process.
pub async fn open(process: usize) -> io::Result<DuplexStream> {
    let delay = [0, 20, 40, 2_000][fault(4)];
    sleep(Duration::from_millis(delay)).await;
    if now() < world(|world| world.valkey.refuses_until) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let (client, server) = tokio::io::duplex(1024);
    let connection = tokio::spawn(serve(BufReader::new(server), process)).abort_handle();
    world(|world| world.valkey.connections.push(connection));
    Ok(client)
}

async fn serve(mut stream: BufReader<DuplexStream>, process: usize) {
    // What a process sent before it ended is executed, too.
    while let Some(command) = read_command(&mut stream).await {
        let fate = FATES[fault(FATES.len())];
        log(|| format!("process {process}: {fate:?}: {}", describe(&command)));
        match fate {
            Fate::Reset => return,
            Fate::Killed => return kill(process),
            Fate::AnsweredLate(millis) => sleep(Duration::from_millis(millis)).await,
            Fate::Answered | Fate::ResetAfterwards | Fate::KilledAfterwards => {}
        }
        while now() < world(|world| world.valkey.hangs_until) {
            sleep(Duration::from_millis(100)).await;
        }
        let reply = world(|world| world.valkey.execute(&command));
        let Some(reply) = reply else { return violate(format!("{} is not simulated", describe(&command))) };
        match fate {
            Fate::ResetAfterwards => return,
            Fate::KilledAfterwards => kill(process),
            // A process that has ended reads no answers.
            _ => _ = stream.write_all(&reply.bytes()).await,
        }
    }
}

/// An array of strings; `None` at the end of the stream.
async fn read_command(stream: &mut BufReader<DuplexStream>) -> Option<Vec<Vec<u8>>> {
    let mut command = Vec::new();
    for _ in 0..read_number(stream).await? {
        let mut string = vec![0; read_number(stream).await? + 2];
        stream.read_exact(&mut string).await.ok()?;
        string.truncate(string.len() - 2);
        command.push(string);
    }
    Some(command)
}

/// The number of a line such as `*2` or `$5`.
async fn read_number(stream: &mut BufReader<DuplexStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim_end().parse().ok()
}

fn describe(command: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&command.join(&b' ')).into_owned()
}

/// Lets something happen to the server.
pub fn disturb(step: Step) {
    let period = match step {
        Step::Fill | Step::Hang | Step::Refuse => PERIODS[choose(PERIODS.len())],
        _ => Duration::ZERO,
    };
    let until = now().saturating_add(period);
    world(|world| {
        world.failed_until = world.failed_until.max(Some(until));
        let valkey = &mut world.valkey;
        match step {
            Step::LoseAll => valkey.entries.clear(),
            Step::Evict => {
                let key = valkey.entries.keys().nth(choose(4)).cloned();
                key.and_then(|key| valkey.entries.remove(&key));
            }
            Step::Restart => valkey.replace(Entries::new()),
            // Valkey replicates asynchronously.
            Step::FailOver => {
                let copy = valkey.copies.iter().nth_back([1, 2, 0][choose(3)]).cloned();
                valkey.replace(copy.unwrap_or_default());
            }
            Step::Fill => valkey.is_full_until = until,
            Step::Hang => valkey.hangs_until = until,
            Step::Refuse => {
                valkey.refuses_until = until;
                valkey.disconnect();
            }
            Step::Usual | Step::Read(_) | Step::ReadList | Step::Write(_) | Step::Kill => {
                unreachable!("these are not about the server")
            }
        }
    });
}

impl Valkey {
    pub fn copy(&mut self) {
        self.copies.push(self.entries.clone());
    }

    pub fn heal(&mut self) {
        self.is_full_until = Duration::ZERO;
        self.hangs_until = Duration::ZERO;
        self.refuses_until = Duration::ZERO;
    }

    fn disconnect(&mut self) {
        self.connections.drain(..).for_each(|connection| connection.abort());
    }

    /// Another process of the server has these entries.
    fn replace(&mut self, entries: Entries) {
        self.entries = entries;
        self.run += 1;
        self.disconnect();
    }

    fn get(&mut self, key: &[u8]) -> Option<&Entry> {
        let is_expired = self.entries.get(key)?.expires <= now();
        if is_expired {
            self.entries.remove(key);
        }
        self.entries.get(key)
    }

    fn execute(&mut self, command: &[Vec<u8>]) -> Option<Reply> {
        let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        Some(match words[..] {
            [b"AUTH", _, token] => {
                let made = Duration::from_millis(number(token)?);
                if now() < made + TOKEN_LIFETIME { Reply::Ok } else { Reply::Error("WRONGPASS the token has expired") }
            }
            [b"INFO", b"server"] => Reply::Bulk(format!("# Server\r\nrun_id:{}\r\n", self.run).into_bytes()),
            [b"GET", key] => self.get(key).map_or(Reply::Nil, |entry| Reply::Bulk(entry.value.clone())),
            [b"PTTL", key] => match self.get(key) {
                Some(entry) => Reply::Integer(i64::try_from((entry.expires - now()).as_millis()).ok()?),
                None => Reply::Integer(-2),
            },
            [b"DEL", ref keys @ ..] => {
                let deleted = keys.iter().filter(|key| self.entries.remove(**key).is_some()).count();
                Reply::Integer(i64::try_from(deleted).ok()?)
            }
            [b"SET", ..] if now() < self.is_full_until => {
                Reply::Error("OOM command not allowed when used memory > 'maxmemory'.")
            }
            [b"SET", key, value, ref options @ ..] => {
                let existing = self.get(key).map(|entry| entry.value.clone());
                let has = |name: &[u8]| options.contains(&name);
                let after = |name: &[u8]| options.iter().skip_while(|option| **option != name).nth(1).copied();
                let is_allowed = match after(b"IFEQ") {
                    Some(expected) => existing.as_deref() == Some(expected),
                    None => !has(b"NX") || existing.is_none(),
                };
                if is_allowed {
                    let expires = now() + Duration::from_millis(number(after(b"PX")?)?);
                    self.entries.insert(key.to_vec(), Entry { value: value.to_vec(), expires });
                }
                match existing {
                    Some(existing) if has(b"GET") => Reply::Bulk(existing),
                    None if has(b"GET") => Reply::Nil,
                    _ if is_allowed => Reply::Ok,
                    _ => Reply::Nil,
                }
            }
            _ => return None,
        })
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
