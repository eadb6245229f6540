//! `klamm log dump`.

use std::path::{Path, PathBuf};

use clap::Args;
use klamm_log::disk::{Access, Disk, RealDisk};
use klamm_log::{FileKind, parse_file_name, verify};

use crate::failure::Failure;
use crate::log::findings::Report;
use crate::log::record_text::Contents;
use crate::log::segment::{self, Depth};
use crate::log::{checkpoint, index, snapshot};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  klamm log dump klamm-data/orders-0                                    everything of a partition
  klamm log dump klamm-data/orders-0/00000000000000000000.log --records
  klamm log dump klamm-data/__consumer_offsets-12 --records             groups and offsets, decoded
  klamm log dump klamm-data --verify > /dev/null                        is a broker's data sound?

Reads .log .index .timeindex .txnindex .snapshot .checkpoint files, the text files of offsets and epochs, and folders of
all these. Nothing is changed. The broker may be running, but then the last batch may still be incomplete.";

/// Print what is in the files of partitions, Klamm's or Kafka's
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Dump {
    /// Files, or folders with all that is in them
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,

    /// Print the records too, not only their batches
    #[arg(short, long)]
    records: bool,

    /// Check checksums and records; for a folder, also that its files agree with each other
    #[arg(long)]
    verify: bool,

    /// What the records are, where the name of the folder does not say it
    #[arg(long, value_name = "KIND")]
    decode_as: Option<Contents>,
}

impl Dump {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut report = Report::new(Output::stdout());
        for path in &self.paths {
            self.dump_path(&mut report, path)?;
        }
        report.finish()
    }

    fn dump_path(&self, report: &mut Report, path: &Path) -> Result<(), Failure> {
        let metadata = RealDisk.metadata(path).map_err(|error| index::unreadable(path, &error))?;
        if metadata.is_dir {
            return self.dump_folder(report, path);
        }
        match Format::of_file(path) {
            Some(format) => self.dump_file(report, path, format, self.depth(path, self.verify)),
            None => Err(Failure::usage(format!(
                "{} is no file this command knows; see klamm help log dump for those it does",
                path.display()
            ))),
        }
    }

    /// What is in a folder: files by name, then the folders below it. Files of other kinds are passed over.
    fn dump_folder(&self, report: &mut Report, folder: &Path) -> Result<(), Failure> {
        let entries = RealDisk.list(folder).map_err(|error| index::unreadable(folder, &error))?;
        let (folders, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.is_dir);
        let formats: Vec<_> = files
            .iter()
            .map(|entry| folder.join(&entry.name))
            .filter_map(|path| Format::of_file(&path).map(|format| (path, format)))
            .collect();
        formats
            .iter()
            .try_for_each(|(path, format)| self.dump_file(report, path, *format, self.depth(path, false)))?;
        if self.verify && formats.iter().any(|(_, format)| matches!(format, Format::Batches(_))) {
            verify_folder(report, folder)?;
        }
        folders.into_iter().try_for_each(|entry| self.dump_folder(report, &folder.join(entry.name)))
    }

    fn dump_file(
        &self,
        report: &mut Report,
        path: &Path,
        format: Format,
        depth: Depth,
    ) -> Result<(), Failure> {
        let unreadable = |error| index::unreadable(path, &error);
        report.file(path)?;
        let file = RealDisk.open(path, Access::Read).map_err(unreadable)?;
        let size = file.size().map_err(unreadable)?;
        match format {
            Format::Batches(base_offset) => segment::dump(report, &*file, size, base_offset, depth),
            Format::OffsetIndex(base_offset) => index::dump_offsets(report, &*file, base_offset),
            Format::TimeIndex(base_offset) => index::dump_times(report, &*file, base_offset),
            Format::TransactionIndex => index::dump_aborted(report, &*file),
            Format::ProducerSnapshot => snapshot::dump(report, path),
            Format::Text => checkpoint::dump(report, path),
        }
    }

    fn depth(&self, path: &Path, verify: bool) -> Depth {
        let contents = self.decode_as.unwrap_or_else(|| Contents::of_file(path));
        Depth { records: self.records, verify, contents }
    }
}

/// Whether the files of a partition agree with each other.
fn verify_folder(report: &mut Report, folder: &Path) -> Result<(), Failure> {
    let findings = verify(&RealDisk, folder).map_err(|error| Failure::new(error.to_string()))?;
    findings.iter().try_for_each(|finding| report.problem(format!("{}/{finding}", folder.display())))
}

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    /// Record batches from this offset on.
    Batches(i64),
    OffsetIndex(i64),
    TimeIndex(i64),
    TransactionIndex,
    ProducerSnapshot,
    Text,
}

/// Text files of a log directory, its partitions and the metadata log.
const TEXT_FILES: [&str; 9] = [
    "leader-epoch-checkpoint",
    "recovery-point-offset-checkpoint",
    "replication-offset-checkpoint",
    "log-start-offset-checkpoint",
    "cleaner-offset-checkpoint",
    "partition.metadata",
    "meta.properties",
    "quorum-state",
    ".kafka_cleanshutdown",
];

impl Format {
    fn of_file(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if TEXT_FILES.contains(&name) {
            return Some(Self::Text);
        }
        if name.ends_with(".checkpoint") {
            return Some(Self::Batches(0));
        }
        let (offset, kind, _) = parse_file_name(name)?;
        Some(match kind {
            FileKind::Log => Self::Batches(offset),
            FileKind::OffsetIndex => Self::OffsetIndex(offset),
            FileKind::TimeIndex => Self::TimeIndex(offset),
            FileKind::TransactionIndex => Self::TransactionIndex,
            FileKind::Snapshot => Self::ProducerSnapshot,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_files_are() {
        let table = [
            ("d/00000000000000000042.log", Some(Format::Batches(42))),
            ("00000000000000000042.log.deleted", Some(Format::Batches(42))),
            ("00000000000000000042.index", Some(Format::OffsetIndex(42))),
            ("00000000000000000042.timeindex", Some(Format::TimeIndex(42))),
            ("00000000000000000042.txnindex", Some(Format::TransactionIndex)),
            ("00000000000000000042.snapshot", Some(Format::ProducerSnapshot)),
            ("00000000000000000042-0000000001.checkpoint", Some(Format::Batches(0))),
            ("leader-epoch-checkpoint", Some(Format::Text)),
            ("server.properties", None),
            ("42.log", None),
        ];
        for (path, format) in table {
            assert_eq!(Format::of_file(Path::new(path)), format, "{path}");
        }
    }
}
