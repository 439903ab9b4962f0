//! A parallel scan of the appointments table, which can be broken off and taken up again.

use appointments::image::Image;
use aws_sdk_dynamodb::Client;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_dynamo::Item;
use workflow::Unavailable;

/// Pages of 1 MB that are in memory at once.
const SEGMENTS: i32 = 8;

/// Where a scan has got to.
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

    /// Reads a page of each segment; gives the items that are appointments.
    pub async fn next(&mut self, dynamodb: &Client, table: &str, consistent: bool) -> Result<Vec<Image>, Unavailable> {
        let pages = self.0.iter_mut().zip(0..).map(async |(segment, index)| {
            let start_key = match segment {
                Segment::Start => None,
                Segment::After(key) => Some(key.clone().into()),
                Segment::Done => return Ok(Vec::new()),
            };
            let page = dynamodb
                .scan()
                .table_name(table)
                .consistent_read(consistent)
                .segment(index)
                .total_segments(SEGMENTS)
                .set_exclusive_start_key(start_key)
                .send()
                .await
                .map_err(|error| Unavailable::from_sdk("DynamoDB", &error))?;
            *segment = page.last_evaluated_key.map_or(Segment::Done, |key| Segment::After(key.into()));
            Ok(page.items.unwrap_or_default().into_iter().filter_map(|item| Image::of(item.into())).collect())
        });
        let pages: Result<Vec<Vec<Image>>, Unavailable> = join_all(pages).await.into_iter().collect();
        Ok(pages?.into_iter().flatten().collect())
    }
}
