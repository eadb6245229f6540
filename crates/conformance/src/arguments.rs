//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::check::Check;

/// Foreign clients and tools against Klamm, and against Apache Kafka beside it
#[derive(Debug, Parser)]
#[command(name = "klamm-conformance", max_term_width = 110)]
pub(crate) struct Arguments {
    /// A broker that runs already; otherwise Klamm is built and started on a free port, its data in a temporary folder
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) bootstrap: Option<String>,

    /// This binary instead of building one
    #[arg(long, value_name = "FILE", conflicts_with = "bootstrap")]
    pub(crate) klamm: Option<PathBuf>,

    /// The same against Apache Kafka, beside it
    #[arg(long)]
    pub(crate) beside_kafka: bool,

    /// Against Apache Kafka alone: whether the checks themselves are right
    #[arg(long, conflicts_with_all = ["bootstrap", "beside_kafka", "klamm"])]
    pub(crate) kafka_only: bool,

    /// Only checks whose client/name holds one of these
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) only: Vec<String>,

    /// Large amounts: a million records each way with each codec, twenty kills, a million malformed frames, the tests of clients that
    /// have to be built
    #[arg(long)]
    pub(crate) full: bool,

    /// What checks there are
    #[arg(long)]
    pub(crate) list: bool,

    /// Scorecards of earlier runs as JSON, for the checks that are not made now; the first that has a check counts
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) rest_from: Vec<PathBuf>,

    /// The scorecard as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// The scorecard as a page of documentation
    #[arg(long, value_name = "FILE")]
    pub(crate) write_compatibility: Option<PathBuf>,

    /// Where transcripts are kept: all that each check ran and saw
    #[arg(long, value_name = "DIR", default_value = "target/conformance")]
    pub(crate) transcripts: PathBuf,
}

impl Arguments {
    pub(crate) fn selects(&self, check: &Check) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| check.full_name().contains(part.as_str()))
    }
}
