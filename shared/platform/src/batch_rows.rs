//! The rows of a batch: JSON Lines, or CSV with a header (RFC 4180), read from any place at which a row begins.

use std::collections::BTreeSet;

use passkit::problem::{Problem, Problems, pointer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::input::{DEPTH_LIMIT, nests_too_deep};

/// Rows of one batch at most.
pub const MAXIMUM_ROWS: u32 = 100_000;
/// Bytes of one row at most: the longest holder data, written with escapes, and everything else.
pub const ROW_LIMIT: usize = 16_384;
/// Columns of a CSV at most.
const MAXIMUM_COLUMNS: usize = 200;
/// Parts of all their names, such as the three of `holder.address.city`.
const MAXIMUM_NAMES: usize = 400;
/// Names that a column can have, besides `holder.<name>`: the members of a pass request.
const COLUMNS: [&str; 11] = [
    "campaignId",
    "serialNumber",
    "holder",
    "linkExpiresAt",
    "downloadLimit",
    "authenticationToken",
    "barcode",
    "state",
    "offerId",
    "redemptions",
    "redeemedAt",
];
/// What spreadsheets put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What rows are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// A JSON object on each line.
    Jsonl,
}

impl Format {
    /// Of a body's `Content-Type`, parameters aside.
    pub fn of_media_type(media_type: &str) -> Option<Format> {
        match media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "text/csv" => Some(Format::Csv),
            "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines" => Some(Format::Jsonl),
            _ => None,
        }
    }

    /// What an upload says it is.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv",
            Format::Jsonl => "application/x-ndjson",
        }
    }
}

/// What stands before the first row.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Names of the columns; none of JSON Lines.
    pub columns: Vec<String>,
    /// Bytes it takes.
    pub length: usize,
}

/// One row: the members of a pass request, or why it is none.
pub type Row = Result<Map<String, Value>, Problems>;

/// Rows that were read.
#[derive(Debug, Default)]
pub struct Rows {
    /// In their order.
    pub rows: Vec<Row>,
    /// Bytes they take, with blank lines.
    pub length: usize,
}

/// Whether more follows what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// It does, so what is not whole is left alone.
    Follows,
    /// It is the end.
    Nothing,
}

/// Reads what stands before the first row.
pub fn head(format: Format, bytes: &[u8]) -> Result<Head, Problems> {
    let mark = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    if format == Format::Jsonl {
        return Ok(Head { columns: Vec::new(), length: mark });
    }
    let mut reader = reader(&bytes[mark..]);
    let mut record = csv::ByteRecord::new();
    let whole = |message: String| vec![Problem::new("", message)];
    let found = reader.read_byte_record(&mut record).map_err(|error| whole(format!("is no CSV: {error}")))?;
    let length = mark + place(&reader);
    if !found {
        return Err(whole("has no header".to_owned()));
    }
    if length > ROW_LIMIT || record.len() > MAXIMUM_COLUMNS {
        let message = format!("the header may have {ROW_LIMIT} bytes and {MAXIMUM_COLUMNS} columns");
        return Err(whole(message));
    }
    let columns: Result<Vec<_>, _> = record.iter().map(|name| std::str::from_utf8(name).map(str::to_owned)).collect();
    let columns = columns.map_err(|_| whole("the header is not UTF-8".to_owned()))?;
    if columns.len() == 1 && columns[0].contains(';') {
        return Err(whole("has semicolons in its header: columns are parted by commas".to_owned()));
    }
    // Each row, however short, is given all of these.
    let names: usize = columns.iter().map(|column| column.split('.').count()).sum();
    if names > MAXIMUM_NAMES || columns.iter().any(|column| column.split('.').count() > DEPTH_LIMIT) {
        let message = format!(
            "the names of the columns may have {MAXIMUM_NAMES} parts, parted by dots, and one of them {DEPTH_LIMIT}"
        );
        return Err(whole(message));
    }
    let problems = problems_of_columns(&columns);
    if problems.is_empty() { Ok(Head { columns, length }) } else { Err(problems) }
}

fn problems_of_columns(columns: &[String]) -> Problems {
    let (mut problems, mut seen) = (Problems::new(), BTreeSet::new());
    for name in columns {
        let mut wrong = |message: &str| problems.push(Problem::new(pointer("", name), message));
        let parts = name.strip_prefix("holder.").map(|path| path.split('.'));
        if !seen.insert(name.as_str()) {
            wrong("stands twice in the header");
        } else if parts.map_or(!COLUMNS.contains(&name.as_str()), |mut parts| parts.any(str::is_empty)) {
            wrong(
                "is no column of a batch; columns are named like the members of a pass request, holder.name for one of \
                   the holder's data",
            );
        } else if columns
            .iter()
            .any(|other| other.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.')))
        {
            wrong("cannot be a column, since others are parts of it");
        }
    }
    problems
}

/// Reads up to `most` rows.
pub fn rows(format: Format, columns: &[String], bytes: &[u8], rest: Rest, most: usize) -> Rows {
    match format {
        Format::Jsonl => lines(bytes, rest, most),
        Format::Csv => records(columns, bytes, rest, most),
    }
}

/// How many rows there are, none of them looked at; more than [`MAXIMUM_ROWS`] are not counted on.
pub fn count(format: Format, bytes: &[u8]) -> usize {
    let most = MAXIMUM_ROWS as usize + 1;
    match format {
        Format::Jsonl => bytes.split(|byte| *byte == b'\n').filter(|line| !is_blank(line)).take(most).count(),
        Format::Csv => {
            let (mut reader, mut record, mut count) = (reader(bytes), csv::ByteRecord::new(), 0);
            while count < most && reader.read_byte_record(&mut record).unwrap_or(false) {
                count += 1;
            }
            count
        }
    }
}

fn lines(bytes: &[u8], rest: Rest, most: usize) -> Rows {
    let mut read = Rows::default();
    while read.rows.len() < most && read.length < bytes.len() {
        let open = &bytes[read.length..];
        let (line, length) = match open.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&open[..end], end + 1),
            None if rest == Rest::Nothing => (open, open.len()),
            None => break,
        };
        read.length += length;
        if !is_blank(line) {
            read.rows.push(line_row(line));
        }
    }
    read
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

fn whole(message: impl Into<String>) -> Problems {
    vec![Problem::new("", message)]
}

fn too_deep() -> String {
    format!("nests deeper than {DEPTH_LIMIT} levels")
}

fn too_long() -> Problems {
    whole(format!("a row may have {ROW_LIMIT} bytes"))
}

fn line_row(line: &[u8]) -> Row {
    if line.len() > ROW_LIMIT {
        return Err(too_long());
    }
    let text = std::str::from_utf8(line).map_err(|_| whole("is not UTF-8"))?;
    if nests_too_deep(line) {
        return Err(whole(too_deep()));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(whole("must be a JSON object"))
        }
        Err(error) => Err(whole(format!("is not JSON: {error}"))),
    }
}

fn reader(bytes: &[u8]) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes)
}

fn place(reader: &csv::Reader<&[u8]>) -> usize {
    usize::try_from(reader.position().byte()).unwrap_or(usize::MAX)
}

fn records(columns: &[String], bytes: &[u8], rest: Rest, most: usize) -> Rows {
    let (mut reader, mut record, mut read) = (reader(bytes), csv::ByteRecord::new(), Rows::default());
    while read.rows.len() < most {
        let found = reader.read_byte_record(&mut record).unwrap_or(false);
        let end = place(&reader);
        if !found {
            // Only blank lines were left; what may be half of a line end stays for the next reading.
            read.length = if rest == Rest::Nothing { bytes.len() } else { read.length };
            break;
        }
        // A record that ends with the bytes may go on after them.
        if end >= bytes.len() && rest == Rest::Follows {
            break;
        }
        let raw = &bytes[read.length..end];
        read.length = end;
        read.rows.push(if raw.len() > ROW_LIMIT {
            Err(too_long())
        } else {
            quotes(raw).and_then(|()| record_row(columns, &record))
        });
    }
    read
}

/// Whether the quotation marks of a record are as RFC 4180 has them. Where one is missing, the rows up to the next one are part of
/// a cell, and the parser makes something of that.
fn quotes(record: &[u8]) -> Result<(), Problems> {
    enum Within {
        Begin,
        Plain,
        Quoted,
        /// After a quotation mark in a quoted cell: its end, or the first of two that mean one.
        Closed,
    }
    let mut within = Within::Begin;
    for byte in record {
        within = match (within, byte) {
            (Within::Begin | Within::Plain | Within::Closed, b',' | b'\r' | b'\n') => Within::Begin,
            (Within::Begin | Within::Closed, b'"') => Within::Quoted,
            (Within::Begin | Within::Plain, _) => Within::Plain,
            (Within::Quoted, b'"') => Within::Closed,
            (Within::Quoted, _) => Within::Quoted,
            (Within::Closed, _) => {
                let message = "has something after a closing quotation mark: is one missing before it? Within quotation marks it is written twice";
                return Err(whole(message));
            }
        };
    }
    match within {
        Within::Quoted => Err(whole("ends within quotation marks: is one missing, or the end of the file?")),
        Within::Begin | Within::Plain | Within::Closed => Ok(()),
    }
}

fn record_row(columns: &[String], record: &csv::ByteRecord) -> Row {
    if record.len() != columns.len() {
        return Err(whole(format!("has {} cells, and the header {}", record.len(), columns.len())));
    }
    // What a spreadsheet leaves of rows that were emptied.
    if record.iter().all(<[u8]>::is_empty) {
        return Err(whole("is empty"));
    }
    let (mut members, mut problems) = (Map::new(), Problems::new());
    for (name, cell) in columns.iter().zip(record) {
        let path = pointer("", name);
        let Ok(text) = std::str::from_utf8(cell) else {
            problems.push(Problem::new(path, "is not UTF-8"));
            continue;
        };
        if text.is_empty() {
            continue;
        }
        let value = match name.as_str() {
            "holder" if nests_too_deep(cell) => {
                problems.push(Problem::new(path, too_deep()));
                continue;
            }
            "holder" => match serde_json::from_str(text) {
                Ok(value) => value,
                Err(_) => {
                    problems.push(Problem::new(path, "must be a JSON object"));
                    continue;
                }
            },
            "downloadLimit" | "redemptions" => {
                text.parse::<u64>().map_or_else(|_| text.into(), |number| Value::Number(Number::from(number)))
            }
            _ => text.into(),
        };
        put(&mut members, &mut name.split('.'), value);
    }
    if problems.is_empty() { Ok(members) } else { Err(problems) }
}

/// Puts a value under a path of names; the header was checked, so no name is both a value and a path.
fn put<'a>(members: &mut Map<String, Value>, path: &mut impl Iterator<Item = &'a str>, value: Value) {
    let Some(name) = path.next() else { return };
    let mut path = path.peekable();
    if path.peek().is_none() {
        members.insert(name.to_owned(), value);
    } else if let Value::Object(inner) = members.entry(name).or_insert_with(|| Value::Object(Map::new())) {
        put_rest(inner, path.collect(), value);
    }
}

fn put_rest(members: &mut Map<String, Value>, path: Vec<&str>, value: Value) {
    put(members, &mut path.into_iter(), value);
}

#[cfg(test)]
mod tests;
