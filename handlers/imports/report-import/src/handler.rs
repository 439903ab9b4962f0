//! Turns the answers of the workflow into the file of results.

use std::collections::HashMap;
use std::fmt::{self, Formatter};
use std::io::{BufReader, Read};

use aws_sdk_s3::primitives::ByteStream;
use aws_services::Unavailable;
use csv::Terminator;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use tokio::io::AsyncBufReadExt;
use tokio::task::{JoinError, spawn_blocking};
use tokio_util::io::SyncIoBridge;
use tracing::info;

/// The bucket of imports.
#[derive(Debug)]
pub struct Imports {
    pub s3: aws_sdk_s3::Client,
    pub bucket: String,
}

/// An import that has ended.
#[derive(Debug, Deserialize)]
pub struct Import {
    /// Key of the file of results.
    results_key: String,
    /// Prefix of the keys of the import's own objects.
    work_prefix: String,
    form: Form,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Separator and encoding of the registrar's file. The file of results has the same, so that the registrar's program can
/// open it.
#[derive(Debug, Deserialize)]
struct Form {
    /// The field separator; ASCII.
    separator: char,
    /// Otherwise, the encoding is UTF-8.
    is_utf_16: bool,
}

/// How an import ended.
#[derive(Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "SCREAMING_SNAKE_CASE")]
enum Outcome {
    /// All rows were processed.
    Imported,
    /// The import was stopped before all rows were processed.
    Stopped,
    /// No row was processed, because the file can't be imported.
    Refused { reason: String },
    /// No row was processed, because this version of the file was not the current one when the import started.
    Overwritten,
    /// The import failed, and the results of its rows are unknown.
    Failed,
}

/// Why the results can't be written.
#[derive(Debug, Error)]
pub enum ReportError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Without the text, which contains personal data.
    #[error("{key} has unexpected content at line {}, column {}", .source.line(), .source.column())]
    Unexpected { key: String, source: serde_json::Error },
    #[error("reading was interrupted: {0}")]
    Interrupted(#[from] JoinError),
    #[error("the results can't be written: {0}")]
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
    /// The canonical address, or empty.
    email: String,
    /// Why the row is not imported, if it is not.
    #[serde(flatten)]
    rejection: Option<RowRejection>,
}

#[derive(Debug, Deserialize)]
struct RowRejection {
    result: RowResult,
    reason: String,
}

/// An execution in a file that the `ResultWriter` of Step Functions wrote.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html>
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Execution {
    /// An [`Answer`] in JSON.
    output: String,
}

/// The answer of the workflow for a row.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    line: u64,
    status_code: u16,
    /// A [`Rejection`] in JSON, if the row was rejected.
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

/// A row of the file of results.
#[derive(Debug, Serialize)]
struct Reported<'a> {
    line: u64,
    email: String,
    result: RowResult,
    reason: &'a str,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum RowResult {
    Created,
    Existing,
    Duplicate,
    Rejected,
    Failed,
}

pub async fn handle(imports: &Imports, event: LambdaEvent<Import>) -> Result<(), ReportError> {
    let Import { results_key, work_prefix, form, outcome } = event.payload;
    let mut results = Results::new(form)?;
    match outcome {
        Outcome::Imported => {
            let unanswered = "The account could not be created. Upload this row again later.";
            imports.report(&work_prefix, unanswered, &mut results).await?;
        }
        Outcome::Stopped => {
            let unanswered = "The import was stopped because too many rows failed. Upload the file again later: existing \
                              accounts do not change.";
            imports.report(&work_prefix, unanswered, &mut results).await?;
        }
        Outcome::Refused { reason } => results.push_file(RowResult::Rejected, &reason)?,
        Outcome::Overwritten => results.push_file(
            RowResult::Rejected,
            "The file was overwritten or deleted before its import started. A newer version has its own results.",
        )?,
        Outcome::Failed => results.push_file(
            RowResult::Failed,
            "The import failed because of an error on our side. Upload the file again later: existing accounts do not change.",
        )?,
    }
    imports.write(results_key, results).await
}

impl Imports {
    /// Reports each row, in the order of the file.
    async fn report(&self, work_prefix: &str, unanswered: &str, results: &mut Results) -> Result<(), ReportError> {
        let answers = self.answers(work_prefix).await?;
        let mut counts = [0; 5];
        let key = format!("{work_prefix}/report.jsonl");
        let mut lines = self.get(&key).await?.into_async_read().lines();
        while let Some(line) = lines.next_line().await.map_err(|error| Unavailable::new("S3", error.to_string()))? {
            let row = serde_json::from_str(&line);
            let row: Row = row.map_err(|source| ReportError::Unexpected { key: key.clone(), source })?;
            let (result, reason) = match (&row.rejection, answers.get(row.line)) {
                (Some(rejection), _) => (rejection.result, rejection.reason.as_str()),
                (None, Some((result, reason))) => (*result, reason.as_str()),
                (None, None) => (RowResult::Failed, unanswered),
            };
            counts[result as usize] += 1;
            results.push(&Reported { line: row.line, email: as_text(&row.email), result, reason })?;
        }
        let [created, existing, duplicate, rejected, failed] = counts;
        info!(created, existing, duplicate, rejected, failed, "import reported");
        Ok(())
    }

    /// The answers of the workflow, from the files of executions that succeeded.
    ///
    /// The files are listed, because the key of their manifest is unknown when the map has failed.
    async fn answers(&self, work_prefix: &str) -> Result<Answers, ReportError> {
        let mut answers = Answers::default();
        let prefix = format!("{work_prefix}/results/");
        let mut pages = self.s3.list_objects_v2().bucket(&self.bucket).prefix(prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| Unavailable::from_sdk("S3", &error))?;
            for key in page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key) {
                if key.contains("/SUCCEEDED_") {
                    let reader = BufReader::new(SyncIoBridge::new(self.get(&key).await?.into_async_read()));
                    let read = spawn_blocking(|| answers.read(reader)).await?;
                    answers = read.map_err(|source| match source.is_io() {
                        true => Unavailable::new("S3", source.to_string()).into(),
                        false => ReportError::Unexpected { key, source },
                    })?;
                }
            }
        }
        Ok(answers)
    }

    async fn get(&self, key: &str) -> Result<ByteStream, Unavailable> {
        let output = self.s3.get_object().bucket(&self.bucket).key(key).send().await;
        output.map(|output| output.body).map_err(|error| Unavailable::from_sdk("S3", &error))
    }

    async fn write(&self, key: String, results: Results) -> Result<(), ReportError> {
        let charset = if results.form.is_utf_16 { "utf-16" } else { "utf-8" };
        let put = self.s3.put_object().bucket(&self.bucket).key(key);
        let put = put.content_type(format!("text/csv; charset={charset}")).body(ByteStream::from(results.bytes));
        put.send().await.map_err(|error| Unavailable::from_sdk("S3", &error))?;
        Ok(())
    }
}

/// The answers of the workflow.
#[derive(Debug, Default)]
struct Answers {
    /// For each line, the position of its result in `distinct`.
    rows: HashMap<u64, usize>,
    /// The distinct results with their reasons: a hundred thousand rows have only dozens.
    distinct: Vec<(RowResult, String)>,
}

impl Answers {
    /// Reads a JSON array of executions, which may be larger than the memory.
    fn read(mut self, reader: impl Read) -> serde_json::Result<Self> {
        let mut executions = serde_json::Deserializer::from_reader(reader);
        self.deserialize(&mut executions)?;
        executions.end()?;
        Ok(self)
    }

    fn get(&self, line: u64) -> Option<&(RowResult, String)> {
        Some(&self.distinct[*self.rows.get(&line)?])
    }

    fn push(&mut self, execution: &Execution) -> serde_json::Result<()> {
        let answer: Answer = serde_json::from_str(&execution.output)?;
        let result = match answer.status_code {
            201 => (RowResult::Created, String::new()),
            409 => (RowResult::Existing, String::new()),
            _ => {
                let rejection: Rejection = serde_json::from_str(&answer.body)?;
                let sentence = |Problem { field, message }| format!("{field}: {message}");
                let sentences: Vec<_> = rejection.problems.into_iter().map(sentence).collect();
                (RowResult::Rejected, sentences.join(" "))
            }
        };
        let known = self.distinct.iter().position(|known| *known == result);
        let place = known.unwrap_or(self.distinct.len());
        if known.is_none() {
            self.distinct.push(result);
        }
        self.rows.insert(answer.line, place);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut Answers {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, executions: D) -> Result<(), D::Error> {
        executions.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Answers {
    type Value = ();

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("executions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut executions: A) -> Result<(), A::Error> {
        while let Some(execution) = executions.next_element()? {
            // serde's message can quote the answer.
            self.push(&execution).map_err(|_| A::Error::custom("not an answer of the workflow"))?;
        }
        Ok(())
    }
}

/// The file of results.
#[derive(Debug)]
struct Results {
    form: Form,
    bytes: Vec<u8>,
}

impl Results {
    /// With a byte order mark: without one, Excel reads UTF-8 as another encoding.
    fn new(form: Form) -> Result<Self, ReportError> {
        let mut results = Self { form, bytes: Vec::new() };
        results.push_text("\u{feff}");
        results.push(&("line", "email", "result", "reason"))?;
        Ok(results)
    }

    /// One row for the whole file.
    fn push_file(&mut self, result: RowResult, reason: &str) -> Result<(), ReportError> {
        self.push(&Reported { line: 1, email: String::new(), result, reason })
    }

    fn push(&mut self, row: &impl Serialize) -> Result<(), ReportError> {
        let mut csv = csv::WriterBuilder::new()
            .delimiter(self.form.separator as u8)
            .has_headers(false)
            .terminator(Terminator::CRLF)
            .from_writer(Vec::new());
        csv.serialize(row)?;
        let row = csv.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
        self.push_text(&String::from_utf8_lossy(&row));
        Ok(())
    }

    fn push_text(&mut self, text: &str) {
        match self.form.is_utf_16 {
            true => self.bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
            false => self.bytes.extend_from_slice(text.as_bytes()),
        }
    }
}

/// Prevents programs from reading a part of the text as a formula, whatever separator they assume.
///
/// Where a cell could start, an apostrophe is put before all characters but letters and digits: before `=`, `+`, `-`, `@`
/// and their full-width forms, and before quotation marks and spaces, which could hide them.
/// <https://owasp.org/www-community/attacks/CSV_Injection>
fn as_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut begins_cell = true;
    for character in text.chars() {
        if begins_cell && !character.is_alphanumeric() {
            safe.push('\'');
        }
        safe.push(character);
        begins_cell = character.is_whitespace() || character.is_control() || ",;|:'\"".contains(character);
    }
    safe
}
