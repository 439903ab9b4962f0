//! Reads the answers in S3, and writes the page beside them.

use aws_sdk_s3::primitives::ByteStream;
use aws_services::Unavailable;
use chrono::{DateTime, Utc};
use lambda_runtime::{Diagnostic, LambdaEvent};
use powertools::metrics::{Metrics, Unit};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::answers::{self, Answer, Unreadable};
use crate::page;

/// The bucket of answers.
#[derive(Debug)]
pub struct Answers {
    pub s3: aws_sdk_s3::Client,
    pub bucket: String,
    pub metrics: Metrics,
}

/// Jobs that have answered.
#[derive(Debug, Deserialize)]
pub struct Answered {
    /// Prefix of the keys of all answers, without a slash at its end.
    answers: String,
    made_at: DateTime<Utc>,
}

#[derive(Debug, Eq, PartialEq, Serialize)]
pub struct Rendered {
    /// Key of the page.
    pub page: String,
    /// Between the archive and the ledger.
    pub differences: usize,
    /// What the jobs left out.
    pub problems: usize,
}

/// Why there is no page.
#[derive(Debug, Error)]
pub enum RenderError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A retry would find the same.
    #[error("no answer below {prefix}: {source}")]
    AnswerUnreadable { prefix: String, source: Unreadable },
}

impl From<RenderError> for Diagnostic {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Unavailable(unavailable) => unavailable.into(),
            error => Self { error_type: "AnswerUnreadable".into(), error_message: error.to_string() },
        }
    }
}

pub async fn handle(answers: &Answers, event: LambdaEvent<Answered>) -> Result<Rendered, RenderError> {
    let Answered { answers: prefix, made_at } = event.payload;
    let found = page::Answers {
        report: answers.read(&prefix).await?,
        check: answers.read(&prefix).await?,
        compact: answers.read(&prefix).await?,
    };
    let page = format!("{prefix}/report.html");
    answers.write(&page, page::render(&found, &prefix, made_at).into_string()).await?;
    let rendered = Rendered { page, differences: found.check.differences.len(), problems: found.number_of_problems() };
    answers.metrics.add("ArchiveDifferences", Unit::Count, rendered.differences as f64);
    answers.metrics.add("ArchiveProblems", Unit::Count, rendered.problems as f64);
    Ok(rendered)
}

impl Answers {
    async fn read<A: Answer>(&self, answers: &str) -> Result<A, RenderError> {
        let prefix = format!("{answers}/{}/", A::JOB);
        let mut texts = Vec::new();
        let mut pages = self.s3.list_objects_v2().bucket(&self.bucket).prefix(&prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| Unavailable::from_sdk("S3", &error))?;
            for key in page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key) {
                if key.ends_with(".txt") {
                    texts.push(self.get(key).await?);
                }
            }
        }
        answers::parse(&texts).map_err(|source| RenderError::AnswerUnreadable { prefix, source })
    }

    async fn get(&self, key: String) -> Result<String, Unavailable> {
        let output = self.s3.get_object().bucket(&self.bucket).key(key).send().await;
        let output = output.map_err(|error| Unavailable::from_sdk("S3", &error))?;
        let body = output.body.collect().await.map_err(|error| Unavailable::new("S3", error.to_string()))?;
        // What is no UTF-8 becomes a text that is no JSON.
        Ok(String::from_utf8_lossy(&body.into_bytes()).into_owned())
    }

    async fn write(&self, key: &str, page: String) -> Result<(), Unavailable> {
        let put = self.s3.put_object().bucket(&self.bucket).key(key).content_type("text/html; charset=utf-8");
        put.body(ByteStream::from(page.into_bytes()))
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("S3", &error))?;
        Ok(())
    }
}
