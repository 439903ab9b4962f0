//! Archive objects: Parquet files whose footer has the figures for the ledger.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int64Type,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::Field;
use parquet::schema::types::{Type as SchemaType, TypePtr};

use crate::item::Value;
use crate::net::Days;
use crate::row::{Change, Event, Row};
use crate::run::Run;
use crate::table::{Column, DIGITS, EVENT_COLUMNS, IMAGES, Table, Type};

/// Objects with fewer rows are stored uncompressed: compressing an object with one row takes half of its batch's
/// processor time, see `docs/performance.md`.
const WORTH_COMPRESSING: usize = 100;

/// Bytes of a decimal with 38 digits.
const DECIMAL_BYTES: usize = size_of::<i128>();

const FIRST_SEQUENCE_NUMBER: &str = "first_sequence_number";
const LAST_SEQUENCE_NUMBER: &str = "last_sequence_number";
const DAYS: &str = "days";

/// The figures in an object's footer.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Number of changes in the object.
    pub rows: i64,
    /// Sequence number of the first row.
    pub first_sequence_number: String,
    /// Sequence number of the last row.
    pub last_sequence_number: String,
    /// The sums of its changes by date. Dates whose changes cancel each other out are included.
    pub days: Days,
}

/// Why a [`Summary`] can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// The footer is longer than `tail`: call again with this many bytes.
    #[error("the last {0} bytes are needed to read the footer")]
    NeedsTail(usize),
    /// The object is not an archive object.
    #[error("not an archive object: {0}")]
    NotAnArchiveObject(ParquetError),
}

impl Run<'_> {
    /// Encodes the run as one Parquet object, compressed with zstd unless it is small.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn encode(&self, table: &Table) -> Result<Vec<u8>> {
        let rows = &self.rows[..];
        let days = serde_json::to_string(&self.days()).map_err(|error| ParquetError::External(error.into()))?;
        let compression = match rows.len() {
            ..WORTH_COMPRESSING => Compression::UNCOMPRESSED,
            _ => Compression::ZSTD(ZstdLevel::default()),
        };
        let (first, last) = (&self.first().change.event, &self.last().change.event);
        let mut properties =
            WriterProperties::builder().set_compression(compression).set_key_value_metadata(Some(vec![
                KeyValue::new(FIRST_SEQUENCE_NUMBER.into(), first.sequence_number.to_string()),
                KeyValue::new(LAST_SEQUENCE_NUMBER.into(), last.sequence_number.to_string()),
                KeyValue::new(DAYS.into(), days),
            ]));
        // A dictionary of a column with unique values would hold all of them, and their minimum and maximum are useless to
        // readers.
        let unique = table.columns.iter().filter(|column| column.is_unique).map(|column| column.name);
        for name in ["event_id"].into_iter().chain(IMAGES).chain(unique) {
            properties = properties.set_column_dictionary_enabled(name.into(), false);
            properties = properties.set_column_statistics_enabled(name.into(), EnabledStatistics::None);
        }
        properties = properties.set_column_dictionary_enabled("sequence_number".into(), false);
        let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema(table)?), Arc::new(properties.build()))?;
        let mut row_group = writer.next_row_group()?;
        write_texts(&mut row_group, rows, |row| Some(&row.change.event.id))?;
        write_texts(&mut row_group, rows, |row| Some(&row.change.event.source))?;
        write_texts(&mut row_group, rows, |row| Some(&row.change.event.name))?;
        write_texts(&mut row_group, rows, |row| Some(&row.change.event.sequence_number))?;
        write_column::<Int64Type>(&mut row_group, rows, |row| Some(row.change.event.time.timestamp_millis()))?;
        for (index, column) in table.columns.iter().enumerate() {
            write_values(&mut row_group, rows, index, column)?;
        }
        write_texts(&mut row_group, rows, |row| row.change.new_image.as_deref())?;
        write_texts(&mut row_group, rows, |row| row.change.old_image.as_deref())?;
        row_group.close()?;
        writer.into_inner()
    }
}

/// The columns of a table's archive.
fn schema(table: &Table) -> Result<SchemaType> {
    let text = Type::Text;
    let event = EVENT_COLUMNS.iter().map(|name| (*name, if *name == "event_time" { Type::Time } else { text }, false));
    let own = table.columns.iter().map(|column| (column.name, column.kind, column.is_optional));
    let images = IMAGES.iter().map(|name| (*name, text, true));
    let fields = event.chain(own).chain(images).map(|(name, kind, is_optional)| field(name, kind, is_optional));
    SchemaType::group_type_builder(&format!("{}_change", table.item))
        .with_fields(fields.collect::<Result<_>>()?)
        .build()
}

fn field(name: &str, kind: Type, is_optional: bool) -> Result<TypePtr> {
    let time = LogicalType::timestamp(true, TimeUnit::MILLIS);
    let (physical, logical) = match kind {
        Type::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
        Type::Integer => (PhysicalType::INT64, None),
        Type::Decimal { .. } => (PhysicalType::FIXED_LEN_BYTE_ARRAY, None),
        Type::Boolean => (PhysicalType::BOOLEAN, None),
        Type::Time => (PhysicalType::INT64, Some(time)),
    };
    let repetition = if is_optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let mut field =
        SchemaType::primitive_type_builder(name, physical).with_repetition(repetition).with_logical_type(logical);
    if let Type::Decimal { scale } = kind {
        let (scale, precision) = (scale as i32, DIGITS as i32);
        field = field
            .with_logical_type(Some(LogicalType::decimal(scale, precision)))
            .with_length(DECIMAL_BYTES as i32)
            .with_precision(precision)
            .with_scale(scale);
    }
    field.build().map(Arc::new)
}

/// Reads the summary from the last bytes of an object of `object_size` bytes.
///
/// # Errors
/// [`SummaryError::NeedsTail`] if `tail` is too short to hold the whole footer.
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

/// Reads the changes of an archive object. Its table may have had other columns when it was written.
///
/// # Errors
/// If `object` is not an archive object, or is damaged.
pub fn read(object: Bytes) -> Result<Vec<Change<'static>>> {
    let rows = SerializedFileReader::new(object)?;
    rows.get_row_iter(None)?.map(|row| read_row(Columns(row?.into_columns()))).collect()
}

fn read_row(mut columns: Columns) -> Result<Change<'static>> {
    Ok(Change {
        event: Event {
            id: columns.text("event_id")?.into(),
            source: columns.text("event_source")?.into(),
            name: columns.text("event_name")?.into(),
            sequence_number: columns.text("sequence_number")?.into(),
            time: columns.time("event_time")?,
        },
        new_image: columns.optional_text("new_image")?,
        old_image: columns.optional_text("old_image")?,
    })
}

/// The columns of a row; each can be taken once.
struct Columns(Vec<(String, Field)>);

impl Columns {
    fn take(&mut self, name: &str) -> Result<Field> {
        let index = self.0.iter().position(|(column, _)| column == name);
        let index = index.ok_or_else(|| ParquetError::General(format!("there is no column {name}")))?;
        Ok(self.0.swap_remove(index).1)
    }

    fn optional_text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name)? {
            Field::Str(text) => Ok(Some(text)),
            Field::Null => Ok(None),
            _ => Err(ParquetError::General(format!("{name} is not a text"))),
        }
    }

    fn text(&mut self, name: &str) -> Result<String> {
        self.optional_text(name)?.ok_or_else(|| ParquetError::General(format!("{name} has no text")))
    }

    fn time(&mut self, name: &str) -> Result<DateTime<Utc>> {
        match self.take(name)? {
            Field::TimestampMillis(time) => DateTime::from_timestamp_millis(time),
            _ => None,
        }
        .ok_or_else(|| ParquetError::General(format!("{name} is not a time")))
    }
}

type RowGroupWriter<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn write_values(row_group: &mut RowGroupWriter<'_>, rows: &[&Row<'_>], index: usize, column: &Column) -> Result<()> {
    match column.kind {
        Type::Text => write_texts(row_group, rows, |row| match &row.values[index] {
            Value::Text(text) => Some(text),
            _ => None,
        }),
        Type::Integer => write_column::<Int64Type>(row_group, rows, |row| match row.values[index] {
            Value::Integer(integer) => Some(integer),
            _ => None,
        }),
        Type::Decimal { .. } => write_column::<FixedLenByteArrayType>(row_group, rows, |row| match row.values[index] {
            Value::Decimal(decimal) => Some(FixedLenByteArray::from(ByteArray::from(decimal.to_be_bytes().to_vec()))),
            _ => None,
        }),
        Type::Boolean => write_column::<BoolType>(row_group, rows, |row| match row.values[index] {
            Value::Boolean(boolean) => Some(boolean),
            _ => None,
        }),
        Type::Time => write_column::<Int64Type>(row_group, rows, |row| match row.values[index] {
            Value::Time(time) => Some(time.timestamp_millis()),
            _ => None,
        }),
    }
}

fn write_texts(
    row_group: &mut RowGroupWriter<'_>,
    rows: &[&Row<'_>],
    value: impl for<'a> Fn(&'a Row) -> Option<&'a str>,
) -> Result<()> {
    // All in one buffer: an allocation for each value would cost more than its encoding.
    let texts = rows.iter().filter_map(|row| value(row));
    let mut text = String::with_capacity(texts.clone().map(str::len).sum());
    text.extend(texts);
    let text = Bytes::from(text);
    let mut end = 0;
    write_column::<ByteArrayType>(row_group, rows, |row| {
        let begin = end;
        end += value(row)?.len();
        Some(ByteArray::from(text.slice(begin..end)))
    })
}

fn write_column<T: DataType>(
    row_group: &mut RowGroupWriter<'_>,
    rows: &[&Row<'_>],
    mut value: impl FnMut(&Row) -> Option<T::T>,
) -> Result<()> {
    let mut present = Vec::with_capacity(rows.len());
    let mut definition_levels = Vec::with_capacity(rows.len());
    for row in rows {
        let value = value(row);
        definition_levels.push(i16::from(value.is_some()));
        present.extend(value);
    }
    let mut column =
        row_group.next_column()?.ok_or_else(|| ParquetError::General("the schema has no more columns".into()))?;
    column.typed::<T>().write_batch(&present, Some(&definition_levels), None)?;
    column.close()
}
