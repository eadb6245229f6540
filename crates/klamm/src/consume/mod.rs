//! `klamm consume`: records from topics to standard output.

mod assignment;
mod format;
mod json;
mod position;
mod printer;
mod progress;
mod reader;
mod record;

use std::time::Duration;

use clap::Args;
use klamm_client::{Admin, Consumer, IsolationLevel, TopicPartition};

use crate::arguments::partition_list;
use crate::connection::Connection;
use crate::consume::format::Format;
use crate::consume::position::Position;
use crate::consume::printer::{Printer, Style};
use crate::consume::progress::Progress;
use crate::consume::reader::Reader;
use crate::escapes::{separator, unescape};
use crate::failure::Failure;
use crate::output::Output;
use crate::time;

const EXAMPLES: &str = "\
Examples:
  klamm consume greetings                                        what arrives from now on, until Ctrl-C
  klamm consume greetings --from-beginning --until-end           everything that is there
  klamm consume greetings --from -10 -e                          the last ten of every partition
  klamm consume greetings --from @2h --format '%p:%o %k = %s\\n'  of the last two hours
  klamm consume orders --from 2026-03-31T18:00:00Z --json | jq .value
  klamm consume orders payments --group billing                  as a member of a group, committing offsets

Tokens of --format (as kcat's):
  %s value   %S its length, -1 for null   %R its length as 4 bytes   %k key   %K its length   %h headers
  %t topic   %p partition   %o offset     %T timestamp in ms         %% a %   and \\n \\t \\0 \\xHH";

/// Print the records of topics
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Consume {
    /// The topics to read
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,

    #[command(flatten)]
    range: RangeArgs,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Which records")]
struct RangeArgs {
    /// Begin at: beginning, end, an offset, -N for the last N, or @TIME with a datetime, ms since 1970 or an age as @2h
    #[arg(
        short = 'o',
        long,
        value_name = "WHERE",
        default_value = "end",
        allow_hyphen_values = true,
        value_parser = |text: &str| Position::parse(text, time::now_ms())
    )]
    from: Position,

    /// The same as --from beginning
    #[arg(long, conflicts_with = "from")]
    from_beginning: bool,

    /// Stop at the end, as it was at the start
    #[arg(short = 'e', long)]
    until_end: bool,

    /// Stop after so many records
    #[arg(short = 'n', long, value_name = "N")]
    max_count: Option<u64>,

    /// Stop when nothing has come for so long, as 5s
    #[arg(long, value_name = "DURATION", value_parser = time::parse_duration)]
    timeout: Option<i64>,

    /// Only these partitions, as 0,2-4
    #[arg(short, long, value_name = "LIST", value_parser = partition_list, conflicts_with = "group")]
    partitions: Option<Partitions>,

    /// Consume as a member of this group: partitions are shared, offsets committed; --from counts where it has none
    #[arg(short, long, value_name = "NAME")]
    group: Option<String>,

    /// Only records of committed transactions
    #[arg(long)]
    read_committed: bool,
}

/// Named, so that clap does not take it for an option that repeats.
type Partitions = Vec<i32>;

#[derive(Args, Debug)]
#[command(next_help_heading = "How they are printed")]
struct OutputArgs {
    /// Print each record by this format; see below
    #[arg(short, long, conflicts_with_all = ["json", "key_separator", "headers_separator", "delimiter"])]
    format: Option<String>,

    /// Print each record as a JSON object on its own line
    #[arg(short = 'J', long, conflicts_with_all = ["key_separator", "headers_separator", "delimiter", "null_marker"])]
    json: bool,

    /// Print the key and this before the value
    #[arg(short = 'K', long, value_name = "TEXT", value_parser = separator)]
    key_separator: Option<Bytes>,

    /// Print the headers and this first
    #[arg(long, value_name = "TEXT", value_parser = separator)]
    headers_separator: Option<Bytes>,

    /// What ends a record; \n \t \0 \xHH stand for bytes
    #[arg(short = 'D', long, value_name = "TEXT", default_value = "\\n", value_parser = unescape)]
    delimiter: Bytes,

    /// What is printed for null
    #[arg(short = 'Z', long, value_name = "TEXT", default_value = "NULL", value_parser = unescape)]
    null_marker: Bytes,
}

/// An argument that stands for bytes; named, so that clap does not take it for a list.
type Bytes = Vec<u8>;

impl Consume {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let style = self.output.style()?;
        let config = self.connection.consumer_config(&self.range.settings(time::now_ms())?)?;
        let isolation_level = config.isolation_level;
        let consumer = Consumer::new(config).map_err(|error| Failure::new(error.to_string()))?;
        let admin = consumer.admin();
        let partitions =
            assignment::partitions(&admin, &self.topics, self.range.partitions.as_deref()).await?;
        let progress = self.range.progress(&admin, &partitions, isolation_level).await?;
        let is_member = self.range.group.is_some();
        let begun = if is_member {
            consumer.subscribe(&self.topics)
        } else {
            let position = self.range.position();
            consumer.assign(assignment::starts(&admin, &partitions, position, isolation_level).await?)
        };
        begun.map_err(|error| Failure::new(error.to_string()))?;
        let printer = Printer::new(style, Output::stdout(), self.range.max_count);
        Reader { consumer, printer, progress, is_member, timeout: self.range.timeout() }.read().await
    }
}

impl RangeArgs {
    fn position(&self) -> Position {
        if self.from_beginning { Position::Beginning } else { self.from }
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout.map(|ms| Duration::from_millis(ms.unsigned_abs()))
    }

    /// The client settings that these options stand for.
    fn settings(&self, now_ms: i64) -> Result<Vec<(&'static str, String)>, Failure> {
        let mut settings = vec![
            ("allow.auto.create.topics", "false".to_owned()),
            ("enable.partition.eof", self.until_end.to_string()),
        ];
        if self.read_committed {
            settings.push(("isolation.level", "read_committed".to_owned()));
        }
        if let Some(group) = &self.group {
            settings.push(("group.id", group.clone()));
            settings.push(("auto.offset.reset", offset_reset(self.position(), now_ms)?));
        }
        Ok(settings)
    }

    async fn progress(
        &self,
        admin: &Admin,
        partitions: &[TopicPartition],
        isolation_level: IsolationLevel,
    ) -> Result<Option<Progress>, Failure> {
        match self.until_end {
            true => Ok(Some(Progress::towards(assignment::ends(admin, partitions, isolation_level).await?))),
            false => Ok(None),
        }
    }
}

impl OutputArgs {
    fn style(&self) -> Result<Style, Failure> {
        let format = match (&self.format, self.json) {
            (_, true) => return Ok(Style::Json),
            (Some(text), _) => Format::parse(text, &self.null_marker).map_err(Failure::usage)?,
            (None, _) => Format::of_parts(
                self.headers_separator.as_deref(),
                self.key_separator.as_deref(),
                &self.delimiter,
                &self.null_marker,
            ),
        };
        Ok(Style::Text(format))
    }
}

/// Where a member of a group begins that finds no committed offset, as the client setting has it.
fn offset_reset(position: Position, now_ms: i64) -> Result<String, Failure> {
    match position {
        Position::Beginning => Ok("earliest".to_owned()),
        Position::End => Ok("latest".to_owned()),
        Position::Time(ms) => {
            let age_ms = now_ms.saturating_sub(ms).max(1);
            Ok(format!("by_duration:PT{}.{:03}S", age_ms / 1_000, age_ms % 1_000))
        }
        Position::Offset(_) | Position::BeforeEnd(_) => Err(Failure::usage(
            "--group begins at its committed offsets, without one at beginning, end or a time: --from cannot be an offset",
        )),
    }
}
