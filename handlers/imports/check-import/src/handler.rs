//! Reads a registrar's file from S3 and writes the rows for the import.

use aws_sdk_s3::primitives::ByteStream;
use aws_services::Unavailable;
use lambda_runtime::LambdaEvent;
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::table::{Form, Parts, Refusal, Table};

/// The bucket of imports.
#[derive(Debug)]
pub struct Imports {
    pub s3: aws_sdk_s3::Client,
    pub bucket: String,
}

/// One version of a registrar's file.
#[derive(Debug, Deserialize)]
pub struct Upload {
    key: String,
    version_id: String,
    /// Prefix of the keys of the import's own objects.
    work_prefix: String,
}

/// Whether a file can be imported.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Checked {
    /// It can be: `rows.jsonl` and `report.jsonl` are written.
    Ready {
        /// Number of rows in `rows.jsonl`.
        rows: usize,
        form: Form,
    },
    /// It can't be.
    Refused {
        /// For the registrar; does not quote the file.
        reason: String,
        form: Form,
    },
    /// It was overwritten or deleted after the upload; a newer version is imported separately.
    Overwritten,
}

pub async fn handle(imports: &Imports, event: LambdaEvent<Upload>) -> Result<Checked, Unavailable> {
    let upload = event.payload;
    let Some((parts, form)) = imports.read(&upload).await? else {
        info!("the file has been overwritten or deleted");
        return Ok(Checked::Overwritten);
    };
    let Parts { rows, rejected, accounts, report } = match parts {
        Ok(parts) => parts,
        Err(refusal) => {
            info!("file refused");
            return Ok(Checked::Refused { reason: refusal.to_string(), form });
        }
    };
    imports.write(format!("{}/rows.jsonl", upload.work_prefix), accounts).await?;
    imports.write(format!("{}/report.jsonl", upload.work_prefix), report).await?;
    info!(rows, rejected, "file checked");
    Ok(Checked::Ready { rows, form })
}

impl Imports {
    /// Reads the file; `None` when this version is not the current one.
    async fn read(&self, upload: &Upload) -> Result<Option<(Result<Parts, Refusal>, Form)>, Unavailable> {
        let mut file = match self.s3.get_object().bucket(&self.bucket).key(&upload.key).send().await {
            Ok(file) if file.version_id() == Some(upload.version_id.as_str()) => file.body,
            Ok(_) => return Ok(None),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => return Ok(None),
            Err(error) => return Err(Unavailable::from_sdk("S3", &error)),
        };
        let mut table = Table::default();
        while let Some(bytes) = file.next().await {
            let bytes = bytes.map_err(|error| Unavailable::new("S3", error.to_string()))?;
            if let Err(refusal) = table.push(&bytes) {
                return Ok(Some((Err(refusal), table.form())));
            }
        }
        Ok(Some((table.finish(), table.form())))
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
