//! A walk over the archive's objects, as S3 lists them, beside their entries in the ledger.

use std::collections::BTreeMap;

use archive::{Archive, Days, Ledger, Object, Summary};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_services::Unavailable;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use crate::error::ReconcileError;

/// Number of objects processed together. Their ledger entries, each of up to 400 KB, are in memory together.
const WINDOW: i32 = 250;

/// A sequencer that is older than every event's.
const OLDEST: &str = "00000000000000000000000000000000";

/// The position of a walk.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Walk {
    dt: NaiveDate,
    /// The last key that was processed, or the prefix of all keys of `dt`.
    after: String,
    last_dt: NaiveDate,
}

/// The next keys of a walk, in order.
pub struct Window {
    pub found: Vec<Found>,
    /// Whether it is the last window of its `dt`.
    pub is_last: bool,
}

/// What S3 and the ledger have under one key.
#[derive(Clone, Debug)]
pub struct Found {
    pub key: String,
    listed: Option<Listed>,
    entry: Option<Entry>,
}

#[derive(Clone, Debug)]
struct Listed {
    object: Object,
    last_modified: DateTime<Utc>,
}

#[derive(Clone, Debug)]
struct Entry {
    sequencer: String,
    /// `None` if audit-archive would not have written this entry.
    content: Option<(Object, Summary)>,
}

/// The result for one key.
#[derive(Debug, Default)]
pub struct Settled {
    /// The sums of the object's changes; empty if the object is gone for good.
    pub days: Days,
    pub rows: u64,
    pub is_restored: bool,
    pub is_repaired: bool,
}

/// What the walk relies on.
#[derive(Clone, Copy, Debug)]
pub struct Trust {
    /// Whether to rely on the ledger where it agrees with the listing. Otherwise, each object's footer is read.
    pub ledger: bool,
    /// A younger object may not have its entry yet.
    pub settled_before: DateTime<Utc>,
}

impl Walk {
    /// Begins before the first possible object and entry.
    pub async fn begin(ledger: &Ledger, now: DateTime<Utc>) -> Result<Self, Unavailable> {
        let table = ledger.dynamodb.describe_table().table_name(&ledger.name).send().await;
        let table = table.map_err(|error| Unavailable::from_sdk("DynamoDB", &error))?.table;
        let made = table.and_then(|table| DateTime::from_timestamp_millis(table.creation_date_time?.to_millis().ok()?));
        let Archive { table, s3, bucket } = &ledger.archive;
        let first = s3.list_objects_v2().bucket(bucket).prefix(table.prefix()).max_keys(1).send().await;
        let first = first.map_err(|error| Unavailable::from_sdk("S3", &error))?.contents.unwrap_or_default();
        let first_dt = first.first().and_then(|object| table.dt(object.key()?));
        // The stream keeps changes for a day, and clocks differ.
        let day = TimeDelta::days(1);
        let made_dt = (made.unwrap_or(now) - day).date_naive();
        let dt = first_dt.map_or(made_dt, |first_dt| first_dt.min(made_dt));
        Ok(Self { dt, after: table.partition_prefix(dt), last_dt: (now + day).date_naive() })
    }

    pub fn is_done(&self) -> bool {
        self.dt > self.last_dt
    }

    /// Number of days left, including the present one.
    pub fn days_left(&self) -> u64 {
        (self.last_dt - self.dt).num_days().saturating_add(1).try_into().unwrap_or_default()
    }

    pub async fn window(&self, ledger: &Ledger) -> Result<Window, Unavailable> {
        let Archive { table, s3, bucket } = &ledger.archive;
        let prefix = table.partition_prefix(self.dt);
        let list = s3.list_objects_v2().bucket(bucket).prefix(&prefix).start_after(&self.after);
        let page = list.max_keys(WINDOW).send().await.map_err(|error| Unavailable::from_sdk("S3", &error))?;
        let is_last = !page.is_truncated.unwrap_or_default();
        let mut found = BTreeMap::new();
        let mut end = format!("{prefix}{}", char::MAX);
        for object in page.contents.unwrap_or_default() {
            let (Some(key), Some(time)) = (object.key, object.last_modified.and_then(|time| time.to_millis().ok()))
            else {
                return Err(Unavailable::new("S3", "an object without a key or a time"));
            };
            if !is_last {
                end.clone_from(&key);
            }
            let listed = Listed {
                object: Object {
                    key: key.clone(),
                    size: object.size.unwrap_or_default().try_into().unwrap_or_default(),
                    etag: unquoted(object.e_tag),
                },
                last_modified: DateTime::from_timestamp_millis(time).unwrap_or_default(),
            };
            found.insert(key.clone(), Found { key, listed: Some(listed), entry: None });
        }
        let query = ledger
            .dynamodb
            .query()
            .table_name(&ledger.name)
            .consistent_read(true)
            .key_condition_expression("dt = :dt AND object_key BETWEEN :after AND :end")
            .expression_attribute_values(":dt", AttributeValue::S(self.dt.to_string()))
            .expression_attribute_values(":after", AttributeValue::S(self.after.clone()))
            .expression_attribute_values(":end", AttributeValue::S(end));
        let mut entries = query.into_paginator().items().send();
        while let Some(item) = entries.next().await {
            let item = serde_dynamo::Item::from(item.map_err(|error| Unavailable::from_sdk("DynamoDB", &error))?);
            let Some(serde_dynamo::AttributeValue::S(key)) = item.get("object_key").cloned() else { continue };
            if key <= self.after {
                continue;
            }
            let entry = Some(Entry::parse(&key, item));
            found.entry(key.clone()).or_insert(Found { key, listed: None, entry: None }).entry = entry;
        }
        Ok(Window { found: found.into_values().collect(), is_last })
    }

    /// Moves on to the last of these keys.
    pub fn looked_at(&mut self, found: &[Found]) {
        if let Some(found) = found.last() {
            self.after.clone_from(&found.key);
        }
    }

    /// Moves on to the end of the window.
    pub fn looked_through(&mut self, window: &Window, archive: &Archive) {
        if window.is_last {
            self.dt += TimeDelta::days(1);
            self.after = archive.table.partition_prefix(self.dt);
        }
    }
}

impl Entry {
    fn parse(key: &str, item: serde_dynamo::Item) -> Self {
        #[derive(Deserialize)]
        struct Attributes {
            size_bytes: u64,
            etag: String,
            row_count: i64,
            first_sequence_number: String,
            last_sequence_number: String,
            days: Days,
        }
        let sequencer = match item.get("sequencer") {
            Some(serde_dynamo::AttributeValue::S(sequencer)) => sequencer.clone(),
            _ => OLDEST.into(),
        };
        let content = serde_dynamo::from_item(item).ok().map(|attributes: Attributes| {
            let object = Object { key: key.into(), size: attributes.size_bytes, etag: attributes.etag };
            let summary = Summary {
                rows: attributes.row_count,
                first_sequence_number: attributes.first_sequence_number,
                last_sequence_number: attributes.last_sequence_number,
                days: attributes.days,
            };
            (object, summary)
        });
        Self { sequencer, content }
    }
}

impl Found {
    /// Makes S3 and the ledger agree: restores a deleted object, and rewrites a wrong entry.
    pub async fn settle(&self, ledger: &Ledger, trust: Trust) -> Result<Settled, ReconcileError> {
        let mut settled = Settled::default();
        let mut object = match &self.listed {
            Some(listed) => listed.object.clone(),
            None => match restore(&ledger.archive, &self.key).await? {
                Some(object) => {
                    warn!(key = self.key, "object was deleted; its newest version is restored");
                    settled.is_restored = true;
                    object
                }
                None => {
                    error!(
                        key = self.key,
                        "object is deleted with all its versions; only changes that the table shows can be archived again"
                    );
                    delete_entry(ledger, &self.key).await?;
                    settled.is_repaired = true;
                    return Ok(settled);
                }
            },
        };
        let content = self.entry.as_ref().and_then(|entry| entry.content.as_ref());
        if let Some((entered, summary)) = content
            && trust.ledger
            && *entered == object
        {
            settled.days.clone_from(&summary.days);
            settled.rows = rows(summary);
            return Ok(settled);
        }
        let summary = loop {
            match ledger.read_summary(&object).await? {
                Some(summary) => break summary,
                // A retry of the stream has overwritten the object since it was listed.
                None => object = head(&ledger.archive, &self.key).await?,
            }
        };
        if content != Some(&(object.clone(), summary.clone())) {
            let sequencer = self.entry.as_ref().map(|entry| entry.sequencer.as_str());
            let is_entered = ledger.enter(&object, sequencer.unwrap_or(OLDEST), &summary).await?;
            let is_due = self.listed.as_ref().is_some_and(|listed| listed.last_modified < trust.settled_before);
            if is_entered && is_due {
                warn!(key = self.key, "ledger entry was missing or wrong; the object is entered again");
                settled.is_repaired = true;
            }
        }
        settled.rows = rows(&summary);
        settled.days = summary.days;
        Ok(settled)
    }
}

fn rows(summary: &Summary) -> u64 {
    summary.rows.try_into().unwrap_or_default()
}

fn unquoted(etag: Option<String>) -> String {
    etag.unwrap_or_default().trim_matches('"').into()
}

async fn head(archive: &Archive, key: &str) -> Result<Object, Unavailable> {
    let head = archive.s3.head_object().bucket(&archive.bucket).key(key).send().await;
    let head = head.map_err(|error| Unavailable::from_sdk("S3", &error))?;
    let size = head.content_length.unwrap_or_default().try_into().unwrap_or_default();
    Ok(Object { key: key.into(), size, etag: unquoted(head.e_tag) })
}

/// Copies a deleted object's newest version over its delete marker.
async fn restore(archive: &Archive, key: &str) -> Result<Option<Object>, Unavailable> {
    let versions = archive.s3.list_object_versions().bucket(&archive.bucket).prefix(key).send().await;
    let versions = versions.map_err(|error| Unavailable::from_sdk("S3", &error))?.versions.unwrap_or_default();
    // Newest first, as S3 lists them.
    let newest = versions.into_iter().find(|version| version.key.as_deref() == Some(key));
    let Some(version_id) = newest.and_then(|version| version.version_id) else { return Ok(None) };
    archive
        .s3
        .copy_object()
        .bucket(&archive.bucket)
        .key(key)
        .copy_source(format!("{}/{key}?versionId={version_id}", archive.bucket))
        .send()
        .await
        .map_err(|error| Unavailable::from_sdk("S3", &error))?;
    head(archive, key).await.map(Some)
}

async fn delete_entry(ledger: &Ledger, key: &str) -> Result<(), Unavailable> {
    let Some(dt) = ledger.archive.table.dt(key) else { return Ok(()) };
    let delete = ledger.dynamodb.delete_item().table_name(&ledger.name);
    let delete = delete.key("dt", AttributeValue::S(dt.to_string())).key("object_key", AttributeValue::S(key.into()));
    delete.send().await.map_err(|error| Unavailable::from_sdk("DynamoDB", &error))?;
    Ok(())
}
