//! The cache with a real Valkey, which `VALKEY_SERVER` names. Without it, these tests do nothing.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::convert::Infallible;
use std::env;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use directory::{Cache, Change, Key};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;

const ITEM: Key<'static> = Key::Item { group: "advisors", id: "ada" };
const OTHER: Key<'static> = Key::Item { group: "advisors", id: "grace" };
const LIST: Key<'static> = Key::List { group: "advisors", query: "q=a" };
const CHANGE: [Change<'static>; 1] = [Change { group: "advisors", ids: &["ada"] }];

/// The time after which something has not happened.
const NEVER: Duration = Duration::from_secs(30);

/// A server, a client of it, and a row.
struct World {
    program: String,
    port: u16,
    server: Child,
    cache: Cache,
    row: AtomicUsize,
    reads: AtomicUsize,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
    }
}

impl World {
    /// `None` if there is no server to test with.
    async fn new() -> Option<Self> {
        let Ok(program) = env::var("VALKEY_SERVER") else {
            eprintln!("skipped: VALKEY_SERVER names no server");
            return None;
        };
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let open = move || TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        let cache = Cache::new("default", open, || async { Ok("any".to_owned()) });
        let server = start(&program, port);
        let world = Self { program, port, server, cache, row: AtomicUsize::new(1), reads: AtomicUsize::new(0) };
        world.until_it_hits(OTHER).await;
        Some(world)
    }

    fn start(&mut self) {
        self.server = start(&self.program, self.port);
    }

    fn stop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.server.id().try_into().unwrap()), signal).unwrap();
    }

    /// The answer of the server to a command; the name of a key stands for all keys that end with it.
    async fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let client = redis::Client::open(("127.0.0.1", self.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
        let words =
            command.split(' ').map(|word| keys.iter().find(|key| key.ends_with(word)).map_or(word, String::as_str));
        let words: Vec<&str> = words.collect();
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap()
    }

    async fn primary(&self) -> Result<Option<Bytes>, Infallible> {
        self.reads.fetch_add(1, Relaxed);
        Ok(Some(self.row.load(Relaxed).to_string().into()))
    }

    /// Like a replica that has no changes.
    async fn replica(&self) -> Result<Option<Bytes>, Infallible> {
        self.reads.fetch_add(1, Relaxed);
        Ok(Some("0".into()))
    }

    async fn read(&self, key: Key<'_>) -> usize {
        let Ok(document) = self.cache.read(key, self.replica(), self.primary()).await;
        str::from_utf8(&document.unwrap()).unwrap().parse().unwrap()
    }

    /// Returns whether that reached the cache.
    async fn write(&self) -> bool {
        self.cache.write(&CHANGE, async { self.row.fetch_add(1, Relaxed) }).await.reached_cache
    }

    async fn write_until_it_reaches_the_cache(&self) {
        until(async || self.write().await).await;
    }

    /// Whether the cache has it.
    async fn hits(&self, key: Key<'_>) -> bool {
        let reads = self.reads.load(Relaxed);
        self.read(key).await;
        self.reads.load(Relaxed) == reads
    }

    async fn until_it_hits(&self, key: Key<'_>) {
        until(async || self.hits(key).await).await;
    }
}

/// A busy machine may let a command take longer than a request waits.
async fn until(condition: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < NEVER);
    }
}

fn start(program: &str, port: u16) -> Child {
    let port = port.to_string();
    let arguments = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"];
    Command::new(program).args(arguments).stdout(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
async fn documents_are_kept_for_at_most_a_minute() {
    let Some(world) = World::new().await else { return };
    for (key, name) in [(ITEM, "item:ada"), (LIST, "q=a")] {
        assert!(!world.hits(key).await);
        world.until_it_hits(key).await;
        let ttl: i64 = world.ask(&format!("PTTL {name}")).await;
        assert!((1..60_000).contains(&ttl));
    }
}

#[tokio::test]
async fn that_there_is_none_is_kept_alike() {
    let Some(world) = World::new().await else { return };
    let hits = async || {
        let reads = world.reads.load(Relaxed);
        let none = async || -> Result<Option<Bytes>, Infallible> {
            world.reads.fetch_add(1, Relaxed);
            Ok(None)
        };
        let Ok(document) = world.cache.read(ITEM, none(), none()).await;
        assert_eq!(document, None);
        world.reads.load(Relaxed) == reads
    };
    assert!(!hits().await);
    until(hits).await;
}

#[tokio::test]
async fn a_read_after_a_write_is_not_older() {
    let Some(world) = World::new().await else { return };
    world.read(ITEM).await;
    world.read(LIST).await;
    world.write_until_it_reaches_the_cache().await;
    // Not from the replica, which has no changes.
    assert_eq!([world.read(ITEM).await, world.read(LIST).await], [world.row.load(Relaxed); 2]);
    world.until_it_hits(ITEM).await;
    world.until_it_hits(LIST).await;
}

#[tokio::test]
async fn a_read_that_a_write_overtakes_is_not_kept() {
    let Some(world) = World::new().await else { return };
    for key in [ITEM, LIST] {
        let overtaken = async {
            let document = world.primary().await;
            world.write_until_it_reaches_the_cache().await;
            document
        };
        let Ok(document) = world.cache.read(key, world.replica(), overtaken).await;
        assert_ne!(document, Some(world.row.load(Relaxed).to_string().into()));
        assert_eq!(world.read(key).await, world.row.load(Relaxed));
    }
}

#[tokio::test]
async fn the_replica_is_read_when_the_last_write_is_long_ago() {
    let Some(world) = World::new().await else { return };
    let _: i64 = world.ask("PEXPIRE :advisors 3599000").await;
    assert_eq!(world.read(ITEM).await, 1);
    let _: i64 = world.ask("PEXPIRE :advisors 3594000").await;
    until(async || world.read(LIST).await == 0).await;
    // A cache that lost everything does not know of writes.
    let _: String = world.ask("FLUSHALL").await;
    assert_eq!([world.read(ITEM).await, world.read(LIST).await], [1, 1]);
}

#[tokio::test]
async fn answers_are_right_without_a_cache() {
    let Some(mut world) = World::new().await else { return };
    world.stop();
    for _ in 0..2 {
        assert!(!world.write().await);
        assert_eq!([world.read(ITEM).await, world.read(LIST).await], [world.row.load(Relaxed); 2]);
    }
    world.start();
    world.until_it_hits(OTHER).await;
}

#[tokio::test]
async fn answers_are_right_while_the_cache_hangs() {
    let Some(world) = World::new().await else { return };
    world.signal(Signal::SIGSTOP);
    for _ in 0..2 {
        assert!(!world.write().await);
        assert_eq!([world.read(ITEM).await, world.read(LIST).await], [world.row.load(Relaxed); 2]);
    }
    world.signal(Signal::SIGCONT);
    world.until_it_hits(OTHER).await;
}

#[tokio::test]
async fn answers_are_right_while_the_cache_is_full() {
    let Some(world) = World::new().await else { return };
    world.until_it_hits(ITEM).await;
    let _: String = world.ask("CONFIG SET maxmemory 1").await;
    world.until_it_hits(ITEM).await;
    // It still deletes.
    world.write_until_it_reaches_the_cache().await;
    assert_eq!([world.read(ITEM).await, world.read(LIST).await], [world.row.load(Relaxed); 2]);
    assert!(!world.hits(ITEM).await);
    let _: String = world.ask("CONFIG SET maxmemory 0").await;
    world.until_it_hits(ITEM).await;
}
