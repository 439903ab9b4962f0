//! The archive: Parquet objects whose rows are changes to the appointments table.
//!
//! An object holds a run of the stream: consecutive changes of one UTC date. It is named by the first of them, so
//! writing the same run again overwrites it. `docs/archive.md` describes the format and why it loses nothing.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::Appointment;

/// Key prefix of every archive object.
pub const PREFIX: &str = "appointments/";

/// The columns, in the order in which [`write`] writes them.
const SCHEMA: &str = "
    message appointment_change {
        required binary event_id (STRING);
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

const FIRST_SEQUENCE_NUMBER: &str = "first_sequence_number";
const LAST_SEQUENCE_NUMBER: &str = "last_sequence_number";

/// One change to the appointments table: a row of the archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Identifies the change, globally.
    pub event_id: String,
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub event_name: String,
    /// Its place in its shard of the stream; a decimal number of up to 40 digits.
    pub sequence_number: String,
    /// When DynamoDB recorded it; whole seconds, as the stream gives them to a function.
    pub event_time: DateTime<Utc>,
    /// The appointment after the change, or before it for `REMOVE`.
    pub appointment: Appointment,
    /// The item after the change, DynamoDB JSON as the stream gave it.
    pub new_image: Option<String>,
    /// The item before the change, DynamoDB JSON as the stream gave it.
    pub old_image: Option<String>,
}

impl Change {
    /// The archive's partition: the UTC date of the change.
    pub fn dt(&self) -> NaiveDate {
        self.event_time.date_naive()
    }

    /// Key of the object whose first row this change is.
    pub fn object_key(&self) -> String {
        format!("{PREFIX}dt={}/{}-{}.parquet", self.dt(), self.sequence_number, self.event_id)
    }
}

/// What an object's footer says about it.
#[derive(Debug, PartialEq)]
pub struct Summary {
    /// Number of changes in the object.
    pub rows: i64,
    /// Sequence number of the first row.
    pub first_sequence_number: String,
    /// Sequence number of the last row.
    pub last_sequence_number: String,
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

/// Encodes a run of changes as one Parquet object, compressed with zstd.
///
/// # Errors
/// When `changes` is empty, or the encoder fails.
pub fn write(changes: &[&Change]) -> Result<Vec<u8>> {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else {
        return Err(ParquetError::General("an archive object has at least one row".into()));
    };
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(vec![
            KeyValue::new(FIRST_SEQUENCE_NUMBER.into(), first.sequence_number.clone()),
            KeyValue::new(LAST_SEQUENCE_NUMBER.into(), last.sequence_number.clone()),
        ]))
        .build();
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut row_group = writer.next_row_group()?;
    write_strings(&mut row_group, changes, |c| Some(&c.event_id))?;
    write_strings(&mut row_group, changes, |c| Some(&c.event_name))?;
    write_strings(&mut row_group, changes, |c| Some(&c.sequence_number))?;
    write_times(&mut row_group, changes, |c| c.event_time)?;
    write_strings(&mut row_group, changes, |c| Some(&c.appointment.advisor_id))?;
    write_times(&mut row_group, changes, |c| c.appointment.starts_at)?;
    write_strings(&mut row_group, changes, |c| Some(&c.appointment.student_id))?;
    write_strings(&mut row_group, changes, |c| c.appointment.topic.as_ref())?;
    write_strings(&mut row_group, changes, |c| c.new_image.as_ref())?;
    write_strings(&mut row_group, changes, |c| c.old_image.as_ref())?;
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
    let value_of = |key: &str| {
        file.key_value_metadata()
            .and_then(|pairs| pairs.iter().find(|pair| pair.key == key)?.value.clone())
            .ok_or_else(|| SummaryError::NotAnArchiveObject(ParquetError::General(format!("no {key} in the footer"))))
    };
    Ok(Summary {
        rows: file.num_rows(),
        first_sequence_number: value_of(FIRST_SEQUENCE_NUMBER)?,
        last_sequence_number: value_of(LAST_SEQUENCE_NUMBER)?,
    })
}

type RowGroupWriter<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn write_strings<'a>(
    row_group: &mut RowGroupWriter<'_>,
    changes: &[&'a Change],
    value: impl Fn(&'a Change) -> Option<&'a String>,
) -> Result<()> {
    let values = changes.iter().map(|change| value(change).map(|text| ByteArray::from(text.as_str())));
    write_column::<ByteArrayType>(row_group, values)
}

fn write_times(
    row_group: &mut RowGroupWriter<'_>,
    changes: &[&Change],
    value: impl Fn(&Change) -> DateTime<Utc>,
) -> Result<()> {
    let values = changes.iter().map(|change| Some(value(change).timestamp_millis()));
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
