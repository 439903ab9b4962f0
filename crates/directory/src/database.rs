//! Connections to Postgres with IAM tokens, and which of its instances answers.
//!
//! Each statement is sent with the types of its parameters, unprepared, so that RDS Proxy pins no connection to a client:
//! <https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/rds-proxy-pinning.html>

use std::error::Error as _;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::provider::SharedCredentialsProvider;
use deadpool::Runtime;
use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, TimeoutType,
};
use thiserror::Error;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::ClientConfig;
use tracing::{debug, warn};

use crate::settings::{Endpoint, Settings};
use crate::token::{Connect, TokenError};

/// The database's user that may only read; the migrations create it.
pub const READER: &str = "directory_reader";

/// The database's user that may also write; the migrations create it.
pub const WRITER: &str = "directory_writer";

/// For a connection, with TLS and the token.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// For a free connection of the pool.
const WAIT_TIMEOUT: Duration = Duration::from_secs(1);

/// For an answer. Postgres itself ends a statement after two seconds, so this is for a network that loses packets.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a reader that failed gets no requests.
const READER_REST: Duration = Duration::from_secs(2);

/// A parameter of a statement, and its type.
pub(crate) type Parameter = (Box<dyn ToSql + Send + Sync>, Type);

pub(crate) fn text(value: impl Into<String>) -> Parameter {
    (Box::new(value.into()), Type::TEXT)
}

pub(crate) fn optional_text(value: Option<String>) -> Parameter {
    (Box::new(value), Type::TEXT)
}

pub(crate) fn texts(values: impl Into<Vec<String>>) -> Parameter {
    (Box::new(values.into()), Type::TEXT_ARRAY)
}

pub(crate) fn integer(value: i32) -> Parameter {
    (Box::new(value), Type::INT4)
}

/// A statement failed. Messages have no values of rows and parameters, which Postgres's own messages can quote.
#[derive(Debug, Error)]
pub(crate) enum DatabaseError {
    /// A transient failure; retrying may succeed.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Like `Unavailable`, and the connection can't be used any more. What a commit did is unknown.
    #[error("the connection to the database was lost: {0}")]
    Lost(String),
    /// Like `Unavailable`, because there is too much to do. To ask the other instance would be too much for that, too.
    #[error("the database is overloaded: {0}")]
    Overloaded(String),
    /// A row of the statement has a value that must be unique; has the constraint's name.
    #[error("{0} is violated")]
    NotUnique(String),
    /// A row of the statement names a row that doesn't exist, or that another row names; has the constraint's name.
    #[error("{0} is violated")]
    Reference(String),
    /// Retrying does not help.
    #[error("the database refused a statement: {0}")]
    Refused(String),
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(database_error) = error.as_db_error() else { return Self::Lost(reason(&error)) };
        // Postgres closes the connection after these.
        if matches!(database_error.parsed_severity(), Some(Severity::Fatal | Severity::Panic)) {
            return Self::Lost(reason(&error));
        }
        let constraint = || database_error.constraint().unwrap_or("an unnamed constraint").to_owned();
        match database_error.code() {
            &SqlState::UNIQUE_VIOLATION => Self::NotUnique(constraint()),
            &SqlState::FOREIGN_KEY_VIOLATION => Self::Reference(constraint()),
            // The role's statement_timeout.
            &SqlState::QUERY_CANCELED => Self::Overloaded(reason(&error)),
            // After a failover, the writer's endpoint can still lead to an instance that only reads now.
            &SqlState::READ_ONLY_SQL_TRANSACTION | &SqlState::LOCK_NOT_AVAILABLE => Self::Unavailable(reason(&error)),
            // Classes of failed transactions, missing resources and intervention: a deadlock, a reader's conflict, a time-out.
            code if ["40", "53", "57"].contains(&&code.code()[..2]) => Self::Unavailable(reason(&error)),
            _ => Self::Refused(reason(&error)),
        }
    }
}

impl From<PoolError<ConnectError>> for DatabaseError {
    fn from(error: PoolError<ConnectError>) -> Self {
        match error {
            PoolError::Timeout(TimeoutType::Wait) => Self::Overloaded("all connections are in use".into()),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// No connection could be made.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("connecting failed: {0}")]
    Postgres(String),
}

/// Which instance a read is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Instance {
    /// A reader, which can be behind; if it fails, the writer.
    Reader,
    Writer,
}

/// The pools of connections to the reader and the writer.
#[derive(Debug)]
pub(crate) struct Database {
    reader: Pool<Connector>,
    writer: Pool<Connector>,
    reader_failed: Mutex<Option<Instant>>,
}

impl Database {
    /// Connects when a connection is needed, and keeps up to `connections` to each of the two; to the writer as `user`.
    pub fn new(
        settings: &Settings,
        credentials: &SharedCredentialsProvider,
        tls: &Arc<ClientConfig>,
        connections: usize,
        user: &str,
    ) -> Self {
        let pool = |endpoint: &Endpoint, user: &str| {
            Pool::builder(Connector::new(endpoint, user, settings, credentials, tls))
                .max_size(connections)
                .runtime(Runtime::Tokio1)
                .wait_timeout(Some(WAIT_TIMEOUT))
                .create_timeout(Some(CONNECT_TIMEOUT))
                // The connection that was used last is the least likely to be closed by the server.
                .queue_mode(QueueMode::Lifo)
                .build()
                .expect("a pool with time-outs has a runtime")
        };
        Self {
            reader: pool(&settings.reader, READER),
            writer: pool(&settings.writer, user),
            reader_failed: Mutex::default(),
        }
    }

    /// The rows of a statement that changes nothing.
    pub async fn read(
        &self,
        instance: Instance,
        statement: &str,
        parameters: &[Parameter],
    ) -> Result<Vec<Row>, DatabaseError> {
        if matches!(instance, Instance::Reader) && !self.reader_rests() {
            match read(&self.reader, statement, parameters).await {
                Err(DatabaseError::Unavailable(reason) | DatabaseError::Lost(reason)) => {
                    warn!(reason, "the reader failed: the writer answers");
                    *self.reader_failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                }
                result => return result,
            }
        }
        read(&self.writer, statement, parameters).await
    }

    fn reader_rests(&self) -> bool {
        let failed = *self.reader_failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|failed| failed.elapsed() < READER_REST)
    }

    /// Begins a transaction, which has to be ended with [`Transaction::commit`] or [`Transaction::roll_back`].
    pub async fn begin(&self) -> Result<Transaction, DatabaseError> {
        let transaction = Transaction { connection: Some(self.writer.get().await?) };
        match transaction.run("BEGIN").await {
            Err(DatabaseError::Lost(reason)) => {
                debug!(reason, "a kept connection was lost");
                drop(transaction);
                self.writer.retain(|_, _| false);
                let transaction = Transaction { connection: Some(self.writer.get().await?) };
                transaction.run("BEGIN").await?;
                Ok(transaction)
            }
            result => result.map(|()| transaction),
        }
    }
}

/// Tries a second time, with a new connection: a server can have closed the kept one while Lambda froze this process.
async fn read(pool: &Pool<Connector>, statement: &str, parameters: &[Parameter]) -> Result<Vec<Row>, DatabaseError> {
    let connection = pool.get().await?;
    match query(&connection, statement, parameters).await {
        Err(DatabaseError::Lost(reason)) => {
            debug!(reason, "a kept connection was lost");
            drop(Object::take(connection));
            pool.retain(|_, _| false);
            let connection = pool.get().await?;
            let result = query(&connection, statement, parameters).await;
            if matches!(result, Err(DatabaseError::Lost(_))) {
                drop(Object::take(connection));
            }
            result
        }
        result => result,
    }
}

async fn query(client: &Client, statement: &str, parameters: &[Parameter]) -> Result<Vec<Row>, DatabaseError> {
    let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
        parameters.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())).collect();
    answered(client.query_typed(statement, &parameters)).await
}

async fn answered<T>(answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, DatabaseError> {
    match timeout(STATEMENT_TIMEOUT, answer).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(DatabaseError::Lost("no answer in time".into())),
    }
}

/// A transaction on a connection of the writer. Dropping it closes the connection: it is rolled back, but keeps its locks
/// until Postgres notices, which a frozen process can delay.
#[derive(Debug)]
pub(crate) struct Transaction {
    connection: Option<Object<Connector>>,
}

impl Transaction {
    pub async fn query(&self, statement: &str, parameters: &[Parameter]) -> Result<Vec<Row>, DatabaseError> {
        query(self.client(), statement, parameters).await
    }

    async fn run(&self, command: &str) -> Result<(), DatabaseError> {
        answered(self.client().batch_execute(command)).await
    }

    fn client(&self) -> &Client {
        self.connection.as_ref().expect("it is taken when the transaction ends")
    }

    /// Commits; after an error, it is unknown whether the transaction was committed.
    pub async fn commit(mut self) -> Result<(), DatabaseError> {
        self.run("COMMIT").await?;
        drop(self.connection.take());
        Ok(())
    }

    /// Rolls back and gives the connection back; a connection that can't do that is closed.
    pub async fn roll_back(mut self) {
        if self.run("ROLLBACK").await.is_ok() {
            drop(self.connection.take());
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}

/// Makes connections, each with a new token: tokens expire, connections don't.
struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    connect: Connect,
    credentials: SharedCredentialsProvider,
}

impl Connector {
    fn new(
        endpoint: &Endpoint,
        user: &str,
        settings: &Settings,
        credentials: &SharedCredentialsProvider,
        tls: &Arc<ClientConfig>,
    ) -> Self {
        let mut config = Config::new();
        config
            .host(&endpoint.host)
            .port(endpoint.port)
            .user(user)
            .dbname(&settings.database)
            .ssl_mode(SslMode::Require)
            .connect_timeout(CONNECT_TIMEOUT)
            .application_name("directory");
        Self {
            config,
            tls: MakeRustlsConnect::new((**tls).clone()),
            connect: Connect {
                service: "rds-db",
                region: settings.region.clone(),
                authority: format!("{}:{}", endpoint.host, endpoint.port),
                query: format!("DBUser={user}"),
            },
            credentials: credentials.clone(),
        }
    }
}

impl Manager for Connector {
    type Type = Client;
    type Error = ConnectError;

    async fn create(&self) -> Result<Client, ConnectError> {
        let mut config = self.config.clone();
        config.password(self.connect.token(&self.credentials, SystemTime::now()).await?);
        let (client, connection) =
            config.connect(self.tls.clone()).await.map_err(|error| ConnectError::Postgres(reason(&error)))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(reason = reason(&error), "a connection ended");
            }
        });
        Ok(client)
    }

    async fn recycle(&self, client: &mut Client, _: &Metrics) -> RecycleResult<ConnectError> {
        if client.is_closed() { Err(RecycleError::message("closed")) } else { Ok(()) }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("connect", &self.connect).finish_non_exhaustive()
    }
}

/// Why an operation failed, without values: Postgres's own messages can quote rows.
fn reason(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("SQLSTATE {}", error.code().code()),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
