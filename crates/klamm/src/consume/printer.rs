//! Writes records to standard output until there have been enough of them.

use std::io::{self, IsTerminal};

use klamm_client::{Record, Records, TopicPartition};
use klamm_records::TimestampType;

use crate::consume::format::Format;
use crate::consume::json;
use crate::consume::record::{Consumed, TimestampSource};
use crate::failure::Failure;
use crate::output::Output;
use crate::progress_line::ProgressLine;

/// How a record is written.
#[derive(Clone, Debug)]
pub(crate) enum Style {
    Text(Format),
    Json,
}

/// Standard output, and how many records it still takes.
pub(crate) struct Printer {
    style: Style,
    output: Output,
    left: Option<u64>,
    /// A batch at a time is formatted here.
    buffer: Vec<u8>,
    printed: u64,
    progress: ProgressLine,
}

impl Printer {
    pub(crate) fn new(style: Style, output: Output, max_count: Option<u64>) -> Self {
        let progress = ProgressLine::new(!io::stdout().is_terminal());
        Self { style, output, left: max_count, buffer: Vec::new(), printed: 0, progress }
    }

    pub(crate) fn wants_more(&self) -> bool {
        self.left != Some(0)
    }

    /// Writes the records before offset `end`, as far as they are wanted. Returns the offset to go on at.
    pub(crate) fn print(&mut self, records: &Records, end: Option<i64>) -> Result<i64, Failure> {
        self.buffer.clear();
        let printed_to = self.format_all(records, end)?;
        self.output.bytes(&self.buffer)?;
        self.progress.show(|| format!("{} records read", self.printed));
        Ok(printed_to)
    }

    fn format_all(&mut self, records: &Records, end: Option<i64>) -> Result<i64, Failure> {
        let source = match records.header().attributes.timestamp_type() {
            TimestampType::CreateTime => TimestampSource::Create,
            TimestampType::LogAppendTime => TimestampSource::LogAppend,
        };
        for record in records {
            let record = record.map_err(|error| corrupt(records.partition(), &error.to_string()))?;
            if !self.wants_more() || end.is_some_and(|end| record.offset >= end) {
                return Ok(record.offset);
            }
            self.printed += 1;
            self.left = self.left.map(|left| left - 1);
            self.format(&consumed(records.partition(), source, &record));
        }
        Ok(records.next_offset())
    }

    fn format(&mut self, record: &Consumed<'_>) {
        match &self.style {
            Style::Text(format) => format.write(record, &mut self.buffer),
            Style::Json => json::write(record, &mut self.buffer),
        }
    }

    /// Call when nothing more is at hand, so that nobody waits for what is already here.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.output.flush()
    }
}

fn consumed<'a>(partition: &'a TopicPartition, source: TimestampSource, record: &Record<'a>) -> Consumed<'a> {
    Consumed {
        topic: &partition.topic,
        partition: partition.partition,
        offset: record.offset,
        timestamp_ms: record.timestamp,
        timestamp_source: source,
        headers: record.headers.map(|header| (header.key_str(), header.value)).collect(),
        key: record.key,
        value: record.value,
    }
}

fn corrupt(partition: &TopicPartition, problem: &str) -> Failure {
    Failure::new(format!("{partition}: a batch cannot be read: {problem}"))
}
