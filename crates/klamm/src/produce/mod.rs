//! `klamm produce`: records from standard input or files into a topic.

mod deliver;
mod input;
pub(crate) mod json;
pub(crate) mod record;
mod source;
mod text;

use std::path::PathBuf;

use clap::Args;
use klamm_client::Producer;

use crate::connection::Connection;
use crate::escapes::{separator, unescape};
use crate::failure::Failure;
use crate::output::Output;
use crate::produce::deliver::Deliverer;
use crate::produce::record::{Defaults, Header};
use crate::produce::source::Format;
use crate::produce::text::TextFormat;
use crate::time;

const EXAMPLES: &str = "\
Examples:
  echo hello | klamm produce greetings
  echo 'alice:hello' | klamm produce greetings --key-separator :
  printf 'trace=1,lang=en|alice:hello\\n' | klamm produce greetings --headers-separator '|' --key-separator :
  echo | klamm produce users --key 42 --null-marker ''            a tombstone
  klamm produce pictures --whole-files a.png b.png
  klamm consume orders --from-beginning --until-end --json | klamm produce copy --json

With --json every line is an object; all fields are optional, and bytes that are no text come as value_base64:
  {\"key\": \"k\", \"value\": \"v\", \"headers\": [{\"name\": \"h\", \"value\": \"1\"}], \"partition\": 0}";

/// Write records into a topic: a record for every line of standard input or of files
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Produce {
    /// The topic to write to
    topic: String,

    /// Files to read, one after the other; standard input where none is given
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    record: RecordArgs,

    #[command(flatten)]
    delivery: DeliveryArgs,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "How the input is read")]
struct InputArgs {
    /// What ends a record; \n \t \0 \xHH stand for bytes
    #[arg(short = 'D', long, value_name = "TEXT", default_value = "\\n", value_parser = separator)]
    delimiter: Bytes,

    /// What stands between key and value; without it records have no key
    #[arg(short = 'K', long, value_name = "TEXT", value_parser = separator)]
    key_separator: Option<Bytes>,

    /// What ends the headers, which then stand first, as name=value,name=value
    #[arg(long, value_name = "TEXT", value_parser = separator)]
    headers_separator: Option<Bytes>,

    /// A key, value or header value that equals this is null; an empty one to make empty values null
    #[arg(short = 'Z', long, value_name = "TEXT", value_parser = unescape)]
    null_marker: Option<Bytes>,

    /// Every line is a JSON object
    #[arg(short = 'J', long, conflicts_with_all = ["key_separator", "headers_separator", "null_marker", "whole_files"])]
    json: bool,

    /// Every file is the value of one record
    #[arg(long, requires = "files", conflicts_with_all = ["delimiter", "key_separator", "headers_separator"])]
    whole_files: bool,
}

/// An argument that stands for bytes; named, so that clap does not take it for a list.
type Bytes = Vec<u8>;

#[derive(Args, Debug)]
#[command(next_help_heading = "What every record gets")]
struct RecordArgs {
    /// This key, where the input gives none
    #[arg(short, long, value_name = "TEXT")]
    key: Option<String>,

    /// A header before those of the input, several times if need be; a name alone is a header of null
    #[arg(short = 'H', long, value_name = "NAME=VALUE", value_parser = text::header_argument)]
    header: Vec<Header>,

    /// This partition, where the input names none; otherwise the key decides
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,

    /// This create time, where the input gives none: a datetime, milliseconds since 1970, or an age
    #[arg(long, value_name = "TIME", value_parser = |text: &str| time::parse_time(text, time::now_ms()))]
    timestamp: Option<i64>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "How records are sent")]
struct DeliveryArgs {
    /// Compress batches with none, gzip, snappy, lz4 or zstd
    #[arg(short = 'z', long, value_name = "CODEC")]
    compression: Option<String>,

    /// Who has to have a record before it counts as written: 0 nobody, 1 the leader, all in-sync replicas
    #[arg(long, value_name = "0|1|all")]
    acks: Option<String>,

    /// Print where every record went, as partition and offset
    #[arg(long)]
    print_offsets: bool,
}

impl Produce {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let config = self.connection.producer_config(&self.delivery.settings())?;
        let producer = Producer::new(config).map_err(|error| Failure::new(error.to_string()))?;
        let chunks = source::start(self.files.clone(), self.input.format(), self.record.defaults())?;
        let output = self.delivery.print_offsets.then(Output::stdout);
        Deliverer::new(&producer, &self.topic, output).deliver_all(chunks).await?;
        producer.close().await;
        Ok(())
    }
}

impl InputArgs {
    fn format(&self) -> Format {
        let delimiter = self.delimiter.clone();
        match (self.whole_files, self.json) {
            (true, _) => Format::WholeFiles,
            (_, true) => Format::Json { delimiter },
            _ => Format::Text {
                delimiter,
                format: TextFormat {
                    headers_separator: self.headers_separator.clone(),
                    key_separator: self.key_separator.clone(),
                    null_marker: self.null_marker.clone(),
                },
            },
        }
    }
}

impl RecordArgs {
    fn defaults(&self) -> Defaults {
        Defaults {
            key: self.key.clone().map(String::into_bytes),
            headers: self.header.clone(),
            partition: self.partition,
            timestamp_ms: self.timestamp,
        }
    }
}

impl DeliveryArgs {
    /// The client settings that these options stand for.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let options = [("compression.type", &self.compression), ("acks", &self.acks)];
        options.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}
