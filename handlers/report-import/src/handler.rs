//! From the results of an import to the file that a registrar finds beside the one put.

use std::collections::HashMap;
use std::io::BufReader;

use aws_sdk_s3::primitives::ByteStream;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::AsyncBufReadExt;
use tokio::task::{JoinError, spawn_blocking};
use tokio_util::io::SyncIoBridge;
use tracing::info;
use workflow::Unavailable;

/// Where imports are.
#[derive(Debug)]
pub struct Imports {
    pub s3: aws_sdk_s3::Client,
    pub bucket: String,
}

/// An import that has come to its end.
#[derive(Debug, Deserialize)]
pub struct Import {
    /// The file to write.
    results_key: String,
    /// What the import wrote is below it.
    work_prefix: String,
    #[serde(flatten)]
    outcome: Outcome,
}

/// How an import ended.
#[derive(Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "SCREAMING_SNAKE_CASE")]
enum Outcome {
    /// Each row was tried.
    Imported,
    /// Not all rows were tried.
    Stopped,
    /// No row was tried, because the file can't be imported.
    Refused { reason: String },
    /// The import broke off at a point where it is not known what became of the rows.
    Failed,
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Positions only: the text of these files is personal data.
    #[error("{key} is not what is expected there: line {}, column {}", .source.line(), .source.column())]
    Unexpected { key: String, source: serde_json::Error },
    #[error("reading was broken off: {0}")]
    BrokenOff(#[from] JoinError),
    #[error("the report can't be written: {0}")]
    Write(#[from] csv::Error),
}

impl From<ReportError> for Diagnostic {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Unavailable(unavailable) => unavailable.into(),
            error => Self { error_type: "ReportFailed".into(), error_message: error.to_string() },
        }
    }
}

/// A row of the file, as check-import wrote it.
#[derive(Debug, Deserialize)]
struct Row {
    line: u64,
    account: Account,
    /// Why the row can't be read.
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Account {
    email: String,
}

/// An execution in a file of Step Functions' `ResultWriter`.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html>
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Execution {
    /// An [`Answer`] in JSON.
    output: String,
}

/// What the workflow answered for a row.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    line: u64,
    status_code: u16,
    /// A [`Rejection`] in JSON, when it is one.
    body: String,
}

#[derive(Debug, Deserialize)]
struct Rejection {
    problems: Vec<Problem>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    field: String,
    message: String,
}

/// A line of the report.
#[derive(Debug, Serialize)]
struct Reported {
    line: u64,
    email: String,
    result: RowResult,
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum RowResult {
    Created,
    Existing,
    Rejected,
    Failed,
}

pub async fn handle(imports: &Imports, event: LambdaEvent<Import>) -> Result<(), ReportError> {
    let Import { results_key, work_prefix, outcome } = event.payload;
    let file = |result, reason| vec![Reported { line: 1, email: String::new(), result, reason }];
    let rows = match outcome {
        Outcome::Refused { reason } => file(RowResult::Rejected, reason),
        Outcome::Failed => file(
            RowResult::Failed,
            "Something is wrong at our end. Put the file here again later: accounts that exist stay as they are."
                .into(),
        ),
        Outcome::Imported => {
            imports
                .rows(&work_prefix, "The account could not be created. Put this row in a file here again later.")
                .await?
        }
        Outcome::Stopped => {
            let reason = "The import was stopped, because accounts could not be created. Put the file here again later: \
                          accounts that exist stay as they are.";
            imports.rows(&work_prefix, reason).await?
        }
    };
    let count = |result| rows.iter().filter(|row| row.result == result).count();
    info!(
        created = count(RowResult::Created),
        existing = count(RowResult::Existing),
        rejected = count(RowResult::Rejected),
        failed = count(RowResult::Failed),
        "import reported"
    );
    imports.write(results_key, rows).await
}

impl Imports {
    /// What became of each row, in the order of the file; `unanswered` is the reason for rows without an answer.
    async fn rows(&self, work_prefix: &str, unanswered: &str) -> Result<Vec<Reported>, ReportError> {
        let mut answers = self.answers(work_prefix).await?;
        let mut rows = self.read_lines(format!("{work_prefix}/rows.jsonl")).await?;
        rows.append(&mut self.read_lines(format!("{work_prefix}/rejected.jsonl")).await?);
        rows.sort_unstable_by_key(|row| row.line);
        let report = |Row { line, account, reason }| {
            let (result, reason) = match (reason, answers.remove(&line)) {
                (Some(reason), _) => (RowResult::Rejected, reason),
                (None, Some(answer)) => answer,
                (None, None) => (RowResult::Failed, unanswered.into()),
            };
            Reported { line, email: as_text(account.email), result, reason }
        };
        Ok(rows.into_iter().map(report).collect())
    }

    async fn read_lines(&self, key: String) -> Result<Vec<Row>, ReportError> {
        let mut lines = self.get(&key).await?.into_async_read().lines();
        let mut rows = Vec::new();
        while let Some(line) = lines.next_line().await.map_err(|error| Unavailable::new("S3", error.to_string()))? {
            let row = serde_json::from_str(&line);
            rows.push(row.map_err(|source| ReportError::Unexpected { key: key.clone(), source })?);
        }
        Ok(rows)
    }

    /// The answers of the workflow by line, from the files of executions that succeeded.
    ///
    /// They are listed, because the manifest's key is not known when the map has failed.
    async fn answers(&self, work_prefix: &str) -> Result<HashMap<u64, (RowResult, String)>, ReportError> {
        let mut answers = HashMap::new();
        let prefix = format!("{work_prefix}/results/");
        let mut pages = self.s3.list_objects_v2().bucket(&self.bucket).prefix(prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| Unavailable::from_sdk("S3", &error))?;
            for key in page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key) {
                if !key.contains("/SUCCEEDED_") {
                    continue;
                }
                for Execution { output } in self.read_executions(&key).await? {
                    let unexpected = |source| ReportError::Unexpected { key: key.clone(), source };
                    let answer: Answer = serde_json::from_str(&output).map_err(unexpected)?;
                    let reported = match answer.status_code {
                        201 => (RowResult::Created, String::new()),
                        409 => (RowResult::Existing, String::new()),
                        _ => {
                            let rejection: Rejection = serde_json::from_str(&answer.body).map_err(unexpected)?;
                            let sentence = |Problem { field, message }| format!("{field}: {message}");
                            let sentences: Vec<_> = rejection.problems.into_iter().map(sentence).collect();
                            (RowResult::Rejected, sentences.join(" "))
                        }
                    };
                    answers.insert(answer.line, reported);
                }
            }
        }
        Ok(answers)
    }

    /// Reads a JSON array that can be larger than the memory: of an execution, only the output is kept.
    async fn read_executions(&self, key: &str) -> Result<Vec<Execution>, ReportError> {
        let reader = BufReader::new(SyncIoBridge::new(self.get(key).await?.into_async_read()));
        spawn_blocking(|| serde_json::from_reader(reader)).await?.map_err(|source| match source.is_io() {
            true => Unavailable::new("S3", source.to_string()).into(),
            false => ReportError::Unexpected { key: key.into(), source },
        })
    }

    async fn get(&self, key: &str) -> Result<ByteStream, Unavailable> {
        let output = self.s3.get_object().bucket(&self.bucket).key(key).send().await;
        output.map(|output| output.body).map_err(|error| Unavailable::from_sdk("S3", &error))
    }

    async fn write(&self, key: String, rows: Vec<Reported>) -> Result<(), ReportError> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        for row in rows {
            csv.serialize(row)?;
        }
        let body = csv.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
        let put = self.s3.put_object().bucket(&self.bucket).key(key).content_type("text/csv; charset=utf-8");
        put.body(ByteStream::from(body)).send().await.map_err(|error| Unavailable::from_sdk("S3", &error))?;
        Ok(())
    }
}

/// Keeps a spreadsheet program from taking what was typed for a formula.
fn as_text(typed: String) -> String {
    match typed.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{typed}"),
        false => typed,
    }
}
