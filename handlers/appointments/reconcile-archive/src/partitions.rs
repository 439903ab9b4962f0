//! Rows and items of the suspect dates, partitioned by key so that each partition fits into memory.

use std::collections::BTreeMap;
use std::mem;

use archive::{Image, Key};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::chain::Row;

/// Maximum bytes of images in memory before they are written.
const BUFFER: usize = 32 * 1024 * 1024;

/// A row of the archive, or an item of the table.
#[derive(Debug, Deserialize, Serialize)]
pub struct Line {
    key: Key,
    #[serde(flatten)]
    content: Content,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Row(Row),
    Item(String),
}

/// Rows and items that are not yet written, by partition.
#[derive(Debug)]
pub struct Gathered {
    partitions: Vec<Vec<Line>>,
    bytes: usize,
}

/// All rows of an item, and the item in the table.
#[derive(Debug, Default)]
pub struct Known {
    pub rows: Vec<Row>,
    pub item: Option<String>,
}

impl Gathered {
    pub fn new(partitions: usize) -> Self {
        Self { partitions: (0..partitions).map(|_| Vec::new()).collect(), bytes: 0 }
    }

    /// Adds a row of the archive.
    pub fn add_row(&mut self, key: Key, row: Row) {
        let bytes = [&row.old, &row.new].into_iter().flatten().map(String::len).sum();
        self.add(key, Content::Row(row), bytes);
    }

    /// Adds an item of the table.
    pub fn add_item(&mut self, image: Image) {
        let bytes = image.text.len();
        self.add(image.key, Content::Item(image.text), bytes);
    }

    pub fn is_full(&self) -> bool {
        self.bytes >= BUFFER
    }

    /// Takes the lines of each partition.
    pub fn take(&mut self) -> Vec<Vec<Line>> {
        self.bytes = 0;
        self.partitions.iter_mut().map(mem::take).collect()
    }

    fn add(&mut self, key: Key, content: Content, bytes: usize) {
        let hash = Sha256::digest(key.0.join("\n"));
        let index = hash.iter().take(4).fold(0, |index, byte| index << 8 | usize::from(*byte)) % self.partitions.len();
        self.partitions[index].push(Line { key, content });
        self.bytes += bytes;
    }
}

/// The rows and the item of each key.
pub fn by_key(lines: Vec<Line>) -> BTreeMap<Key, Known> {
    let mut items: BTreeMap<Key, Known> = BTreeMap::new();
    for Line { key, content } in lines {
        let known = items.entry(key).or_default();
        match content {
            Content::Row(row) => known.rows.push(row),
            Content::Item(item) => known.item = Some(item),
        }
    }
    items
}
