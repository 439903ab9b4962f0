//! Answers kept in Valkey, never older than a write that was answered before the read began.
//!
//! # What Valkey holds
//!
//! - For each group of rows (`advisors`), its *version*: a random number. A reader makes a new one when there is none.
//! - For each document, its bytes, or that there is none; or a *lease*: who reads it from the database; or a *tombstone*:
//!   who changes it. The name of a list contains its group's version, so that lists of older versions are never found.
//!
//! # Protocol
//!
//! A reader that misses takes the lease (`SET … NX`), then looks at the age of the version. If it is at least five
//! seconds old, no row of the group was changed within that time, so the replica has all changes, and the reader asks the
//! replica; otherwise, it asks the primary. The document takes the place of the lease, if that is still there
//! (`SET … IFEQ`). Other readers wait up to 50 ms for it, then ask the database themselves and keep nothing.
//!
//! A writer puts tombstones on the documents and the versions of their groups, changes the rows, commits, and deletes both.
//! Under a tombstone, readers ask the primary and keep nothing. Then a reader makes the next version, which is young, as
//! it is after everything was lost, or the version alone: what is missing was never evidence of anything.
//!
//! # Promise
//!
//! - **After a write that reached Valkey was answered, no later read is older,** if the replica lags by less than
//!   five seconds. That holds from the commit on if the tombstones are there when it happens, even if the writer ends then.
//! - Whatever happens, no read is older than a minute plus the replica's lag.
//! - A Valkey that is down, hangs, refuses or is full makes an answer at most 100 ms slower, and never wrong. It is used
//!   again within 2 s of its return. A reader that can't reach it asks the primary, because a writer may have reached it.
//!
//! `docs/directory/cache.md` says what that rests on, and what shows it.

use std::error::Error;
use std::fmt::{self, Debug, Formatter};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, InfoDict, Pipeline, RedisConnectionInfo, RedisError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::SetOnce;
use tokio::time::{Duration, Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::settings::CacheEndpoint;
use crate::token::Connect;

/// Longest time for which a document is kept, counted from its lease.
const TTL: Duration = Duration::from_secs(60);

/// A version of this age shows that the replica has all changes to its group: the replica has to lag by less. A tombstone
/// ends after this time: a transaction has to be shorter.
const TOMBSTONE: Duration = Duration::from_secs(5);

/// A version ends after this time, and its lists with it.
const VERSION_TTL: Duration = Duration::from_secs(60 * 60);

/// A reader that has not filled its lease by then has probably ended.
const LEASE: Duration = Duration::from_secs(1);

/// An answer waits for the cache at most twice this long.
const LIMIT: Duration = Duration::from_millis(50);

/// Time between looks at a document that another reader has leased.
const POLL: Duration = Duration::from_millis(5);

/// Longest time to make a connection, in the background.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Time without any attempt after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// Begins the names of all keys: the stack's user can use no others.
const PREFIX: &str = "directory";

type BoxError = Box<dyn Error + Send + Sync>;

/// Names a document.
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    /// A document that changes only by writes that name it.
    Item {
        /// The group of its row. Without a colon.
        group: &'a str,
        /// The row's id.
        id: &'a str,
    },
    /// A document that any write to the group may change.
    List {
        /// The group of all rows that it may be made of. Without a colon.
        group: &'a str,
        /// Tells it from other lists of the group.
        query: &'a str,
    },
}

/// A change to a group of rows.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The group, as in [`Key`].
    pub group: &'a str,
    /// The ids of the items that it changes, makes or deletes.
    pub ids: &'a [&'a str],
}

/// The outcome of a write.
#[derive(Debug)]
pub struct Written<T> {
    /// The transaction's output.
    pub output: T,
    /// Whether the cache knows of the write. If it doesn't, reads may be older than the write for up to a minute.
    pub reached_cache: bool,
}

/// What a reader found.
enum Found {
    Document(Option<Bytes>),
    Nothing {
        /// The replica has all changes of which the cache knows.
        replica_is_current: bool,
        /// The lease that the document may replace.
        lease: Option<Lease>,
    },
}

/// Why the cache has not answered.
enum NoAnswer {
    /// The connection has ended, perhaps long ago: servers end connections after 12 hours, for example.
    Disconnected,
    /// Another try would take too long, or would not help.
    Other,
}

/// The right to fill an entry, as long as its token is in it.
struct Lease {
    connection: Connection,
    entry: String,
    token: String,
}

impl Lease {
    /// Adds a command that takes the lease if the entry is empty, and answers with what was in it.
    fn take(&self, commands: &mut Pipeline) {
        commands.cmd("SET").arg(&self.entry).arg(&self.token).arg("NX").arg("GET").arg("PX").arg(millis(LEASE));
    }

    /// Adds a command that puts a value in the lease's place.
    fn fill(&self, value: Vec<u8>, ttl: Duration, commands: &mut Pipeline) {
        commands.cmd("SET").arg(&self.entry).arg(value).arg("IFEQ").arg(&self.token).arg("PX").arg(millis(ttl));
    }
}

/// An entry of a document.
enum Entry {
    Document(Option<Bytes>),
    Leased,
    Tombstone,
}

/// In an entry or in place of a version.
const ENTOMBED: &[u8] = b"tombstone";

impl Entry {
    fn read(value: &Bytes) -> Self {
        match value.first() {
            Some(b'=') => Self::Document(Some(value.slice(1..))),
            Some(b'-') => Self::Document(None),
            _ if value == ENTOMBED => Self::Tombstone,
            _ => Self::Leased,
        }
    }

    fn write(document: Option<&Bytes>) -> Vec<u8> {
        document.map_or_else(|| b"-".to_vec(), |document| [b"=", &document[..]].concat())
    }
}

/// A client of the cache. It connects when it is first used, and again when that has failed.
pub struct Cache {
    connect: Box<dyn Fn() -> Connecting + Send + Sync>,
    attempt: Mutex<Attempt>,
}

type Connecting = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

/// An attempt to connect.
#[derive(Clone)]
struct Attempt {
    began: Instant,
    /// The connection; or the time after which to try again.
    outcome: Arc<SetOnce<Result<Connection, Instant>>>,
}

/// A connection to a server.
#[derive(Clone)]
struct Connection {
    commands: MultiplexedConnection,
    /// Names the server's process: a server that takes its place may have older contents, and none of its names.
    server: Arc<str>,
    /// Ends the connection.
    driver: Arc<AbortOnDropHandle<()>>,
}

impl Debug for Cache {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl Cache {
    /// The cache at an endpoint of ElastiCache, over TLS, with tokens of these credentials:
    /// <https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth-iam.html>
    ///
    /// A token is valid for 15 minutes and a connection for 12 hours, so each connection gets a token of its own.
    #[must_use]
    pub fn at(
        endpoint: &CacheEndpoint,
        region: &str,
        tls: Arc<ClientConfig>,
        credentials: SharedCredentialsProvider,
    ) -> Self {
        let (host, port) = (endpoint.host.clone(), endpoint.port);
        let open = move || {
            let (tls, host) = (Arc::clone(&tls), host.clone());
            async move {
                let stream = TcpStream::connect((host.as_str(), port)).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::try_from(host).map_err(io::Error::other)?;
                TlsConnector::from(tls).connect(name, stream).await
            }
        };
        let connect = Connect {
            service: "elasticache",
            region: region.to_owned(),
            authority: endpoint.name.clone(),
            query: format!("User={}", endpoint.user),
        };
        let token = move || {
            let (connect, credentials) = (connect.clone(), credentials.clone());
            async move { Ok(connect.token(&credentials, SystemTime::now()).await?) }
        };
        Self::new(&endpoint.user, open, token)
    }

    /// A cache for this user at the end of the stream that `open` makes; `token` makes a password. Both are called for
    /// each connection.
    #[must_use]
    pub fn new<Stream, Opening, Token>(
        user: &str,
        open: impl Fn() -> Opening + Send + Sync + 'static,
        token: impl Fn() -> Token + Send + Sync + 'static,
    ) -> Self
    where
        Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        Opening: Future<Output = io::Result<Stream>> + Send + 'static,
        Token: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        let user = user.to_owned();
        let connect = move || -> Connecting {
            let (stream, token, user) = (open(), token(), user.clone());
            Box::pin(async move { Connection::new(stream.await?, &user, &token.await?).await })
        };
        Self { connect: Box::new(connect), attempt: Mutex::new(Attempt::failed(Instant::now())) }
    }

    /// The document of this name: from the cache, or else from the database. `replica` and `primary` read it there; one of
    /// them is used, and gives `None` if there is none.
    ///
    /// # Errors
    /// That of `replica` or `primary`.
    pub async fn read<E>(
        &self,
        key: Key<'_>,
        replica: impl Future<Output = Result<Option<Bytes>, E>>,
        primary: impl Future<Output = Result<Option<Bytes>, E>>,
    ) -> Result<Option<Bytes>, E> {
        let began = Instant::now();
        let mut found = self.find(key, began).await;
        if let Err(NoAnswer::Disconnected) = found {
            found = self.find(key, began).await;
        }
        let (replica_is_current, lease) = match found {
            Ok(Found::Document(document)) => return Ok(document),
            Ok(Found::Nothing { replica_is_current, lease }) => (replica_is_current, lease),
            Err(_) => (false, None),
        };
        // Who has waited for another's lease waits less to fill the next.
        let limit = LIMIT.min((2 * LIMIT).saturating_sub(began.elapsed()));
        let document = if replica_is_current { replica.await } else { primary.await }?;
        if let Some(lease) = lease {
            self.fill(lease, document.as_ref(), Instant::now() + limit).await;
        }
        Ok(document)
    }

    /// Runs a transaction that makes these changes, which has to end within five seconds.
    pub async fn write<T>(&self, changes: &[Change<'_>], transaction: impl Future<Output = T>) -> Written<T> {
        self.announce(changes, |keys, commands| {
            for key in keys {
                commands.cmd("SET").arg(key).arg(ENTOMBED).arg("PX").arg(millis(TOMBSTONE));
            }
        })
        .await;
        let output = transaction.await;
        // Also if the transaction failed: it may have committed, and the connection to the database failed then.
        let reached_cache = self
            .announce(changes, |keys, commands| {
                commands.cmd("DEL").arg(keys);
            })
            .await;
        Written { output, reached_cache }
    }

    /// Sends commands on the keys of the changed items and their groups' versions; returns whether they were executed.
    async fn announce(&self, changes: &[Change<'_>], add: impl Fn(&[String], &mut Pipeline)) -> bool {
        let deadline = Instant::now() + LIMIT;
        // A connection may have ended since its last use.
        for _ in 0..2 {
            let Ok(connection) = self.connection(true, deadline).await else { return false };
            let keys: Vec<String> = changes
                .iter()
                .flat_map(|&Change { group, ids }| {
                    let items = ids.iter().map(|id| connection.item(group, id));
                    items.chain([connection.version(group)]).collect::<Vec<_>>()
                })
                .collect();
            let mut commands = redis::pipe();
            add(&keys, &mut commands);
            match self.ask::<()>(&connection, &commands, deadline).await {
                Ok(()) => return true,
                Err(NoAnswer::Disconnected) => {}
                Err(NoAnswer::Other) => return false,
            }
        }
        false
    }

    /// Finds a document, or a lease for it.
    async fn find(&self, key: Key<'_>, began: Instant) -> Result<Found, NoAnswer> {
        let connection = self.connection(false, began + LIMIT).await?;
        let next_version = format!("{:032x}", fastrand::u128(..));
        let (version_key, entry) = match key {
            Key::Item { group, id } => (connection.version(group), connection.item(group, id)),
            Key::List { group, query } => {
                let version_key = connection.version(group);
                let mut commands = redis::pipe();
                commands.cmd("GET").arg(&version_key);
                let (mut version,): (Option<Bytes>,) = self.ask(&connection, &commands, began + LIMIT).await?;
                if version.is_none() {
                    let mut commands = redis::pipe();
                    set_version(&mut commands, &version_key, &next_version);
                    (version,) = self.ask(&connection, &commands, began + LIMIT).await?;
                }
                let version = version.unwrap_or_else(|| next_version.clone().into());
                if version == ENTOMBED {
                    return Ok(Found::Nothing { replica_is_current: false, lease: None });
                }
                let entry = connection.list(group, &String::from_utf8_lossy(&version), query);
                (version_key, entry)
            }
        };
        let mut commands = redis::pipe();
        commands.cmd("GET").arg(&entry);
        let (value,): (Option<Bytes>,) = self.ask(&connection, &commands, began + LIMIT).await?;
        if let Some(Entry::Document(document)) = value.as_ref().map(Entry::read) {
            return Ok(Found::Document(document));
        }
        let lease = Lease { connection, entry, token: format!("lease {:032x}", fastrand::u128(..)) };
        let mut commands = redis::pipe();
        // The lease comes first: a write after the look at the version takes it away.
        lease.take(&mut commands);
        set_version(&mut commands, &version_key, &next_version);
        commands.cmd("PTTL").arg(&version_key);
        let mut deadline = began + LIMIT;
        loop {
            let (value, _, ttl): (Option<Bytes>, Option<Bytes>, i64) =
                self.ask(&lease.connection, &commands, deadline).await?;
            // The time to live is that of a tombstone if a write has come meanwhile, and negative if the version has gone.
            let replica_is_current = (millis(TOMBSTONE) + 1..=millis(VERSION_TTL - TOMBSTONE)).contains(&ttl);
            match value.as_ref().map(Entry::read) {
                None => return Ok(Found::Nothing { replica_is_current, lease: Some(lease) }),
                Some(Entry::Document(document)) => return Ok(Found::Document(document)),
                Some(Entry::Tombstone) => return Ok(Found::Nothing { replica_is_current: false, lease: None }),
                Some(Entry::Leased) if began.elapsed() >= LIMIT => {
                    return Ok(Found::Nothing { replica_is_current, lease: None });
                }
                Some(Entry::Leased) => sleep(POLL).await,
            }
            deadline = began + 2 * LIMIT;
        }
    }

    /// Puts the document in its lease's place. If that fails, another reader gets a lease.
    async fn fill(&self, lease: Lease, document: Option<&Bytes>, deadline: Instant) {
        // Documents that are read together do not end together.
        let ttl = TTL - LEASE - Duration::from_millis(fastrand::u64(..6_000));
        let mut commands = redis::pipe();
        lease.fill(Entry::write(document), ttl, &mut commands);
        _ = self.ask::<()>(&lease.connection, &commands, deadline).await;
    }

    /// The answers to commands, if there are any by the deadline, and none is an error.
    async fn ask<T: FromRedisValue>(
        &self,
        connection: &Connection,
        commands: &Pipeline,
        deadline: Instant,
    ) -> Result<T, NoAnswer> {
        let result = timeout_at(deadline, commands.query_async(&mut connection.commands.clone())).await;
        let error = match result {
            Ok(Ok(answers)) => return Ok(answers),
            Ok(Err(error)) => error,
            Err(_) => io::Error::from(io::ErrorKind::TimedOut).into(),
        };
        if is_full(&error) {
            return Err(NoAnswer::Other);
        }
        if error.is_connection_dropped() {
            self.close(connection, Instant::now());
            return Err(NoAnswer::Disconnected);
        }
        warn!(error = &error as &dyn Error, "the cache does not answer");
        self.close(connection, Instant::now() + PAUSE);
        Err(NoAnswer::Other)
    }

    /// The connection, if there is one by the deadline, and within half the limit: commands need the rest. After a
    /// failure, none is made for a while unless it is urgent.
    async fn connection(&self, is_urgent: bool, deadline: Instant) -> Result<Connection, NoAnswer> {
        let Attempt { began, outcome } = {
            let mut attempt = self.attempt();
            if let Some(Err(retry_at)) = attempt.outcome.get()
                && (is_urgent || Instant::now() >= *retry_at)
            {
                *attempt = self.connect();
            }
            attempt.clone()
        };
        let deadline = deadline.min(began + LIMIT / 2);
        let outcome = timeout_at(deadline, outcome.wait()).await.map_err(|_| NoAnswer::Other)?;
        outcome.clone().map_err(|_| NoAnswer::Other)
    }

    fn connect(&self) -> Attempt {
        let attempt = Attempt { began: Instant::now(), outcome: Arc::default() };
        let (connecting, outcome) = (timeout(CONNECT_LIMIT, (self.connect)()), Arc::clone(&attempt.outcome));
        // Goes on when the request has been answered.
        tokio::spawn(async move {
            let result = connecting.await.map_err(BoxError::from).flatten().map_err(|error| {
                warn!(error = &*error as &dyn Error, "no connection to the cache");
                Instant::now() + PAUSE
            });
            _ = outcome.set(result);
        });
        attempt
    }

    /// Ends a connection, unless another has taken its place already.
    fn close(&self, connection: &Connection, retry_at: Instant) {
        let mut attempt = self.attempt();
        if let Some(Ok(current)) = attempt.outcome.get()
            && Arc::ptr_eq(&current.driver, &connection.driver)
        {
            *attempt = Attempt::failed(retry_at);
        }
    }

    fn attempt(&self) -> MutexGuard<'_, Attempt> {
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    fn failed(retry_at: Instant) -> Self {
        Self { began: retry_at, outcome: Arc::new(SetOnce::new_with(Some(Err(retry_at)))) }
    }
}

impl Connection {
    async fn new(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        user: &str,
        token: &str,
    ) -> Result<Self, BoxError> {
        let login = RedisConnectionInfo::default().set_username(user).set_password(token).set_skip_set_lib_name();
        // Each request has its deadline.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let (mut commands, driver) = MultiplexedConnection::new_with_config(&login, stream, config).await?;
        let driver = Arc::new(AbortOnDropHandle::new(tokio::spawn(driver)));
        let info: InfoDict = redis::cmd("INFO").arg("server").query_async(&mut commands).await?;
        let server: String = info.get("run_id").ok_or("the server has no run_id")?;
        Ok(Self { commands, server: server.into(), driver })
    }

    fn version(&self, group: &str) -> String {
        format!("{PREFIX}:{}:{group}", self.server)
    }

    fn item(&self, group: &str, id: &str) -> String {
        format!("{PREFIX}:{}:{group}:item:{id}", self.server)
    }

    fn list(&self, group: &str, version: &str, query: &str) -> String {
        format!("{PREFIX}:{}:{group}:list:{version}:{query}", self.server)
    }
}

/// Adds a command that sets a group's version if there is none, and answers with that before.
fn set_version(commands: &mut Pipeline, key: &str, version: &str) {
    commands.cmd("SET").arg(key).arg(version).arg("NX").arg("GET").arg("PX").arg(millis(VERSION_TTL));
}

/// Whether the server has no memory left: it still answers reads.
fn is_full(error: &RedisError) -> bool {
    error.clone().into_server_errors().is_some_and(|errors| errors.iter().all(|(_, error)| error.code() == "OOM"))
}

fn millis(duration: Duration) -> i64 {
    duration.as_millis().try_into().expect("these are minutes")
}
