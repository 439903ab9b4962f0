//! Runs the migrations. Each is in a transaction, with the record that it was run, so a repetition continues after the last.

use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::{Diagnostic, LambdaEvent};
use powertools::parameters::{Parameters, ParametersError};
use powertools::remaining_time;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::ClientConfig;
use tracing::{error, info};

use crate::answer::{Answer, NotSent, Status};
use crate::seed;

mod migrations {
    refinery::embed_migrations!("migrations");
}

/// Kept free to answer CloudFormation before Lambda ends the invocation.
const TIME_TO_ANSWER: Duration = Duration::from_secs(10);

/// One run of migrations at a time; the number means nothing else.
const LOCK: &str = "SELECT pg_advisory_lock(7305)";

/// What outlives an invocation.
#[derive(Debug)]
pub struct MigrateDirectory {
    pub parameters: Parameters,
    /// The secret with the password of the database's owner, which RDS manages.
    pub secret: String,
    pub host: String,
    pub port: u16,
    pub database: String,
    pub tls: Arc<ClientConfig>,
}

/// A request of CloudFormation, or of a person: then without a URL for the answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Request {
    /// `Create` and `Update` run the migrations; `Delete` keeps everything; `Seed` fills an empty directory with example data.
    request_type: String,
    #[serde(rename = "ResponseURL")]
    response_url: Option<String>,
    #[serde(default)]
    stack_id: String,
    #[serde(default)]
    request_id: String,
    #[serde(default)]
    logical_resource_id: String,
}

/// What was done.
#[derive(Debug, PartialEq, Serialize)]
pub struct Report {
    pub message: String,
}

#[derive(Debug, Error)]
pub enum MigrateError {
    #[error("the request type {0} is unknown: it has to be Create, Update, Delete or Seed")]
    UnknownRequest(String),
    #[error("the password of the database's owner can't be read: {0}")]
    Secret(#[from] ParametersError),
    #[error("the database can't be reached, or refused a statement: {0}")]
    Database(#[from] tokio_postgres::Error),
    #[error("a migration failed, and was rolled back: {0}")]
    Migration(#[from] refinery::Error),
    #[error("the directory is not empty: example data is only for an empty one")]
    NotEmpty,
    #[error("it took too long; repeating the deployment continues after the last migration")]
    TooLong,
    #[error("the function stopped unexpectedly: see its log")]
    Panic,
    #[error(transparent)]
    NotSent(#[from] NotSent),
}

impl From<MigrateError> for Diagnostic {
    fn from(error: MigrateError) -> Self {
        Diagnostic { error_type: "MigrateError".into(), error_message: error.to_string() }
    }
}

/// Does what is asked, and answers CloudFormation also if that failed. An error is returned only if nobody was answered.
pub async fn handle(
    migrate_directory: &Arc<MigrateDirectory>,
    event: LambdaEvent<Request>,
) -> Result<Report, MigrateError> {
    let LambdaEvent { payload: request, context } = event;
    let time = remaining_time(&context).saturating_sub(TIME_TO_ANSWER);
    // In a task, so that a panic is an error like others.
    let (this, request_type) = (migrate_directory.clone(), request.request_type.clone());
    let task = tokio::spawn(async move { this.perform(&request_type).await });
    let result = match timeout(time, task).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(MigrateError::Panic),
        Err(_) => Err(MigrateError::TooLong),
    };
    let Some(url) = request.response_url else { return result };
    let (status, reason) = match &result {
        Ok(report) => (Status::Success, report.message.clone()),
        Err(error) => {
            error!(%error, "the request of CloudFormation failed");
            (Status::Failed, error.to_string())
        }
    };
    let answer = Answer {
        status,
        reason,
        physical_resource_id: "directory-schema",
        stack_id: request.stack_id,
        request_id: request.request_id,
        logical_resource_id: request.logical_resource_id,
    };
    answer.send(&url).await?;
    Ok(Report { message: answer.reason })
}

impl MigrateDirectory {
    async fn perform(&self, request_type: &str) -> Result<Report, MigrateError> {
        let message = match request_type {
            "Create" | "Update" => {
                let applied = migrate(&mut self.connect().await?).await?;
                format!("{applied} migrations were applied.")
            }
            "Delete" => "Nothing is deleted: the data belongs to the cluster.".to_owned(),
            "Seed" => {
                seed::insert(&mut self.connect().await?).await?;
                "The example data was inserted.".to_owned()
            }
            other => return Err(MigrateError::UnknownRequest(other.to_owned())),
        };
        info!(request_type, message, "done");
        Ok(Report { message })
    }

    /// As the database's owner, with the password of the moment: RDS rotates it.
    async fn connect(&self) -> Result<Client, MigrateError> {
        let owner: Owner = self.parameters.get_secret(&self.secret).json().await?;
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(owner.username)
            .password(owner.password)
            .dbname(&self.database)
            .ssl_mode(SslMode::Require)
            .connect_timeout(Duration::from_secs(5))
            .application_name("migrate-directory");
        let (client, connection) = config.connect(MakeRustlsConnect::new((*self.tls).clone())).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

/// The number of migrations that were not there yet.
async fn migrate(client: &mut Client) -> Result<usize, MigrateError> {
    // Until the connection ends.
    client.batch_execute(LOCK).await?;
    // When a deployment is rolled back, the code is older than the schema: that is no error.
    let runner = migrations::migrations::runner().set_abort_missing(false);
    let report = runner.run_async(client).await?;
    Ok(report.applied_migrations().len())
}

/// The secret's value: <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html>
#[derive(Deserialize)]
struct Owner {
    username: String,
    password: String,
}
