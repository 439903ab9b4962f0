//! A parallel scan of the table, which can be interrupted and resumed.

use std::collections::HashMap;

use archive::{Image, Table};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_services::Unavailable;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};
use serde_dynamo::Item;

use crate::error::ReconcileError;

/// Number of pages of 1 MB that are requested concurrently.
const SEGMENTS: i32 = 4;

/// The position of a scan.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Scan(Vec<Segment>);

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Segment {
    Start,
    After(Item),
    Done,
}

impl Scan {
    pub fn new() -> Self {
        Self((0..SEGMENTS).map(|_| Segment::Start).collect())
    }

    pub fn is_done(&self) -> bool {
        self.0.iter().all(|segment| matches!(segment, Segment::Done))
    }

    /// Reads pages of all segments concurrently, and gives the items that fit the table to `visit` until it wants no
    /// more.
    pub async fn read(
        &mut self,
        table: &Table,
        dynamodb: &Client,
        name: &str,
        consistent: bool,
        mut visit: impl AsyncFnMut(Vec<Image>) -> Result<bool, ReconcileError>,
    ) -> Result<(), ReconcileError> {
        let page = async |index: usize, segment: Segment| -> Result<_, Unavailable> {
            let start_key = match segment {
                Segment::After(key) => Some(key.into()),
                Segment::Start | Segment::Done => None,
            };
            let page = dynamodb.scan().table_name(name).consistent_read(consistent).set_exclusive_start_key(start_key);
            let page = page.segment(index as i32).total_segments(SEGMENTS).send().await;
            Ok((index, page.map_err(|error| Unavailable::from_sdk("DynamoDB", &error))?))
        };
        let segments = self.0.iter().cloned().enumerate();
        let unread = segments.filter(|(_, segment)| !matches!(segment, Segment::Done));
        let mut pages: FuturesUnordered<_> = unread.map(|(index, segment)| page(index, segment)).collect();
        while let Some(read) = pages.next().await {
            let (index, read) = read?;
            self.0[index] = read.last_evaluated_key.map_or(Segment::Done, |key| Segment::After(key.into()));
            if let Segment::After(_) = &self.0[index] {
                pages.push(page(index, self.0[index].clone()));
            }
            let items = read.items.unwrap_or_default();
            // Pages that were requested meanwhile are read again.
            if !visit(items.into_iter().filter_map(|item| image(table, item)).collect()).await? {
                break;
            }
        }
        Ok(())
    }
}

/// `None` if the item doesn't fit the table.
fn image(table: &Table, item: HashMap<String, AttributeValue>) -> Option<Image> {
    let text = serde_json::to_string(&Item::from(item)).ok()?;
    Image::parse(table, &text)
}
