//! The archive: Parquet objects whose rows are changes to the appointments table.
//!
//! An object holds a run of the stream: consecutive changes of one UTC date. It is named by the first of them, so
//! writing the same run again overwrites it. `docs/appointments/archive.md` describes the format and why it loses nothing.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::Field;
use parquet::schema::parser::parse_message_type;

use crate::Appointment;
use crate::image::{Days, Net};

/// Key prefix of every archive object.
pub const PREFIX: &str = "appointments/";

/// The columns, in the order in which [`write`] writes them.
const SCHEMA: &str = "
    message appointment_change {
        required binary event_id (STRING);
        required binary event_source (STRING);
        required binary event_name (STRING);
        required binary sequence_number (STRING);
        required int64 event_time (TIMESTAMP(MILLIS,true));
        required binary advisor_id (STRING);
        required int64 starts_at (TIMESTAMP(MILLIS,true));
        required binary student_id (STRING);
        optional binary topic (STRING);
        optional binary new_image (STRING);
        optional binary old_image (STRING);
    }";

/// Rows. Compressing an object of one row takes half of its batch's processor time: see `docs/performance.md`.
const WORTH_COMPRESSING: usize = 100;

/// Columns of which no value comes twice: a dictionary would hold all of them.
const UNIQUE: [&str; 5] = ["event_id", "sequence_number", "student_id", IMAGES[0], IMAGES[1]];

/// Columns whose smallest and largest values say nothing.
const IMAGES: [&str; 2] = ["new_image", "old_image"];

const FIRST_SEQUENCE_NUMBER: &str = "first_sequence_number";
const LAST_SEQUENCE_NUMBER: &str = "last_sequence_number";
const DAYS: &str = "days";

/// One change to the appointments table: a row of the archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<'a> {
    /// Identifies the change, globally.
    pub event_id: Cow<'a, str>,
    /// `aws:dynamodb` for the stream; what made the row when it was made from the table.
    pub event_source: Cow<'a, str>,
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub event_name: Cow<'a, str>,
    /// Its place in its shard of the stream; a decimal number of up to 40 digits.
    pub sequence_number: Cow<'a, str>,
    /// When DynamoDB recorded it; whole seconds, as the stream gives them to a function.
    pub event_time: DateTime<Utc>,
    /// The appointment after the change, or before it for `REMOVE`.
    pub appointment: Appointment<'a>,
    /// The item after the change, canonical DynamoDB JSON.
    pub new_image: Option<String>,
    /// The item before the change, canonical DynamoDB JSON.
    pub old_image: Option<String>,
}

impl Change<'_> {
    /// The archive's partition: the UTC date of the change.
    pub fn dt(&self) -> NaiveDate {
        self.event_time.date_naive()
    }

    /// Key of the object whose first row this change is.
    pub fn object_key(&self) -> String {
        format!("{PREFIX}dt={}/{}-{}.parquet", self.dt(), self.sequence_number, self.event_id)
    }
}

/// The partition of an archive object, from its key; `None` for a key that [`Change::object_key`] doesn't make.
pub fn dt(key: &str) -> Option<NaiveDate> {
    let (dt, _) = key.strip_prefix(PREFIX)?.strip_prefix("dt=")?.split_once('/')?;
    dt.parse().ok()
}

/// What an object's footer says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Number of changes in the object.
    pub rows: i64,
    /// Sequence number of the first row.
    pub first_sequence_number: String,
    /// Sequence number of the last row.
    pub last_sequence_number: String,
    /// What its changes come to; a date whose changes cancel each other out is there as well.
    pub days: Days,
}

/// Why a [`Summary`] can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// The footer is longer than the tail that was given: call again with this many bytes.
    #[error("the last {0} bytes are needed to read the footer")]
    NeedsTail(usize),
    /// The object isn't one that [`write`] made.
    #[error("not an archive object: {0}")]
    NotAnArchiveObject(ParquetError),
}

/// Encodes a run of changes, each with what it comes to, as one Parquet object, compressed with zstd unless it is
/// small.
///
/// # Errors
/// When `changes` is empty, or the encoder fails.
pub fn write(changes: &[&(Change<'_>, Net)]) -> Result<Vec<u8>> {
    let (Some((first, _)), Some((last, _))) = (changes.first(), changes.last()) else {
        return Err(ParquetError::General("an archive object has at least one row".into()));
    };
    let mut days = Days::new();
    for (change, net) in changes {
        *days.entry(change.appointment.date()).or_default() += *net;
    }
    let days = serde_json::to_string(&days).map_err(|error| ParquetError::External(error.into()))?;
    let compression = match changes.len() {
        ..WORTH_COMPRESSING => Compression::UNCOMPRESSED,
        _ => Compression::ZSTD(ZstdLevel::default()),
    };
    let mut properties = WriterProperties::builder().set_compression(compression).set_key_value_metadata(Some(vec![
        KeyValue::new(FIRST_SEQUENCE_NUMBER.into(), first.sequence_number.to_string()),
        KeyValue::new(LAST_SEQUENCE_NUMBER.into(), last.sequence_number.to_string()),
        KeyValue::new(DAYS.into(), days),
    ]));
    for column in UNIQUE {
        properties = properties.set_column_dictionary_enabled(column.into(), false);
    }
    for column in IMAGES {
        properties = properties.set_column_statistics_enabled(column.into(), EnabledStatistics::None);
    }
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build()))?;
    let mut row_group = writer.next_row_group()?;
    write_strings(&mut row_group, changes, |c| Some(&c.event_id))?;
    write_strings(&mut row_group, changes, |c| Some(&c.event_source))?;
    write_strings(&mut row_group, changes, |c| Some(&c.event_name))?;
    write_strings(&mut row_group, changes, |c| Some(&c.sequence_number))?;
    write_times(&mut row_group, changes, |c| c.event_time)?;
    write_strings(&mut row_group, changes, |c| Some(&c.appointment.advisor_id))?;
    write_times(&mut row_group, changes, |c| c.appointment.starts_at)?;
    write_strings(&mut row_group, changes, |c| Some(&c.appointment.student_id))?;
    write_strings(&mut row_group, changes, |c| c.appointment.topic.as_deref())?;
    write_strings(&mut row_group, changes, |c| c.new_image.as_deref())?;
    write_strings(&mut row_group, changes, |c| c.old_image.as_deref())?;
    row_group.close()?;
    writer.into_inner()
}

/// Reads the summary from the last bytes of an object of `object_size` bytes.
///
/// # Errors
/// [`SummaryError::NeedsTail`] when `tail` is too short to hold the whole footer.
pub fn read_summary(tail: Bytes, object_size: u64) -> std::result::Result<Summary, SummaryError> {
    let mut reader = ParquetMetaDataReader::new();
    reader.try_parse_sized(&tail, object_size).map_err(|error| match error {
        ParquetError::NeedMoreData(bytes) => SummaryError::NeedsTail(bytes),
        error => SummaryError::NotAnArchiveObject(error),
    })?;
    let metadata = reader.finish().map_err(SummaryError::NotAnArchiveObject)?;
    let file = metadata.file_metadata();
    let unexpected = |what: String| SummaryError::NotAnArchiveObject(ParquetError::General(what));
    let value_of = |key: &str| {
        file.key_value_metadata()
            .and_then(|pairs| pairs.iter().find(|pair| pair.key == key)?.value.clone())
            .ok_or_else(|| unexpected(format!("no {key} in the footer")))
    };
    Ok(Summary {
        rows: file.num_rows(),
        first_sequence_number: value_of(FIRST_SEQUENCE_NUMBER)?,
        last_sequence_number: value_of(LAST_SEQUENCE_NUMBER)?,
        days: serde_json::from_str(&value_of(DAYS)?).map_err(|error| unexpected(format!("{DAYS}: {error}")))?,
    })
}

/// Reads the changes of an object that [`write`] made.
///
/// # Errors
/// When `object` isn't one, or is damaged.
pub fn read(object: Bytes) -> Result<Vec<Change<'static>>> {
    let rows = SerializedFileReader::new(object)?;
    rows.get_row_iter(None)?.map(|row| read_row(Columns(row?.into_columns().into_iter()))).collect()
}

fn read_row(mut columns: Columns) -> Result<Change<'static>> {
    Ok(Change {
        event_id: columns.text()?.into(),
        event_source: columns.text()?.into(),
        event_name: columns.text()?.into(),
        sequence_number: columns.text()?.into(),
        event_time: columns.time()?,
        appointment: Appointment {
            advisor_id: columns.text()?.into(),
            starts_at: columns.time()?,
            student_id: columns.text()?.into(),
            topic: columns.optional_text()?.map(Into::into),
        },
        new_image: columns.optional_text()?,
        old_image: columns.optional_text()?,
    })
}

/// The columns of a row, taken in the order of [`SCHEMA`].
struct Columns(std::vec::IntoIter<(String, Field)>);

impl Columns {
    fn optional_text(&mut self) -> Result<Option<String>> {
        match self.0.next() {
            Some((_, Field::Str(text))) => Ok(Some(text)),
            Some((_, Field::Null)) => Ok(None),
            _ => Err(ParquetError::General("a column is not the text that it should be".into())),
        }
    }

    fn text(&mut self) -> Result<String> {
        self.optional_text()?.ok_or_else(|| ParquetError::General("a required column has no text".into()))
    }

    fn time(&mut self) -> Result<DateTime<Utc>> {
        match self.0.next() {
            Some((_, Field::TimestampMillis(time))) => DateTime::from_timestamp_millis(time),
            _ => None,
        }
        .ok_or_else(|| ParquetError::General("a column is not the time that it should be".into()))
    }
}

type RowGroupWriter<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn write_strings(
    row_group: &mut RowGroupWriter<'_>,
    changes: &[&(Change<'_>, Net)],
    value: impl for<'a> Fn(&'a Change) -> Option<&'a str>,
) -> Result<()> {
    // All in one buffer: an allocation for each value would cost more than its encoding.
    let texts = changes.iter().filter_map(|(change, _)| value(change));
    let mut text = String::with_capacity(texts.clone().map(str::len).sum());
    text.extend(texts);
    let text = Bytes::from(text);
    let mut end = 0;
    let values = changes.iter().map(|(change, _)| {
        let begin = end;
        end += value(change)?.len();
        Some(ByteArray::from(text.slice(begin..end)))
    });
    write_column::<ByteArrayType>(row_group, values)
}

fn write_times(
    row_group: &mut RowGroupWriter<'_>,
    changes: &[&(Change<'_>, Net)],
    value: impl Fn(&Change) -> DateTime<Utc>,
) -> Result<()> {
    let values = changes.iter().map(|(change, _)| Some(value(change).timestamp_millis()));
    write_column::<Int64Type>(row_group, values)
}

fn write_column<T: DataType>(
    row_group: &mut RowGroupWriter<'_>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<()> {
    let mut present = Vec::new();
    let mut definition_levels = Vec::new();
    for value in values {
        definition_levels.push(i16::from(value.is_some()));
        present.extend(value);
    }
    let mut column =
        row_group.next_column()?.ok_or_else(|| ParquetError::General("the schema has no more columns".into()))?;
    column.typed::<T>().write_batch(&present, Some(&definition_levels), None)?;
    column.close()
}
