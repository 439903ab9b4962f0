//! From a registrar's file in S3 to the rows that the import goes through.

use aws_sdk_s3::primitives::ByteStream;
use lambda_runtime::LambdaEvent;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncBufReadExt;
use tracing::info;
use workflow::Unavailable;

use crate::table::{MAXIMUM_BYTES, Parts, Refusal, Table};

const PRECONDITION_FAILED: u16 = 412;

/// Where imports are.
#[derive(Debug)]
pub struct Imports {
    pub s3: aws_sdk_s3::Client,
    pub bucket: String,
}

/// A file that a registrar has put.
#[derive(Debug, Deserialize)]
pub struct Upload {
    key: String,
    etag: String,
    /// What the import needs is written below it.
    work_prefix: String,
}

/// Whether a file is imported.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Checked {
    /// It is: `rows.jsonl` and `rejected.jsonl` are written.
    Ready {
        /// Rows in `rows.jsonl`.
        rows: usize,
    },
    /// It can't be.
    Refused {
        /// For the registrar; quotes the file's headings.
        reason: String,
    },
    /// It has been overwritten since; the newer file has an import of its own.
    Overwritten,
}

pub async fn handle(imports: &Imports, event: LambdaEvent<Upload>) -> Result<Checked, Unavailable> {
    let upload = event.payload;
    let Some(table) = imports.read(&upload).await? else {
        info!("the file has been overwritten; its newer event imports it");
        return Ok(Checked::Overwritten);
    };
    let Parts { rows, rejected, accounts, rejections } = match table {
        Ok(parts) => parts,
        Err(refusal) => {
            info!("file refused");
            return Ok(Checked::Refused { reason: refusal.to_string() });
        }
    };
    imports.write(format!("{}/rows.jsonl", upload.work_prefix), accounts).await?;
    imports.write(format!("{}/rejected.jsonl", upload.work_prefix), rejections).await?;
    info!(rows, rejected, "file checked");
    Ok(Checked::Ready { rows })
}

impl Imports {
    /// Reads the file; `None` when it is no longer the one that was put.
    async fn read(&self, upload: &Upload) -> Result<Option<Result<Parts, Refusal>>, Unavailable> {
        let response = self.s3.get_object().bucket(&self.bucket).key(&upload.key).if_match(&upload.etag).send().await;
        let file = match response {
            Ok(file) => file,
            Err(error) if error.raw_response().is_some_and(|r| r.status().as_u16() == PRECONDITION_FAILED) => {
                return Ok(None);
            }
            Err(error) => return Err(Unavailable::from_sdk("S3", &error)),
        };
        if file.content_length() > Some(MAXIMUM_BYTES) {
            return Ok(Some(Err(Refusal::TooLarge)));
        }
        let mut lines = file.body.into_async_read();
        let mut table = Table::default();
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).await.map_err(|error| Unavailable::new("S3", error.to_string()))? > 0 {
            if let Err(refusal) = table.push(&line) {
                return Ok(Some(Err(refusal)));
            }
            line.clear();
        }
        Ok(Some(table.finish()))
    }

    async fn write(&self, key: String, jsonl: String) -> Result<(), Unavailable> {
        self.s3
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type("application/jsonl")
            .body(ByteStream::from(jsonl.into_bytes()))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| Unavailable::from_sdk("S3", &error))
    }
}
