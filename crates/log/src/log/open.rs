//! Opening a partition's folder, whatever state the last stop left it in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use super::flush::FlushState;
use super::recover::Recovery;
use super::snapshots::Snapshots;
use super::{Log, NO_GAP, NONE_UNSTABLE, Segments, State};
use crate::config::LogConfig;
use crate::disk::Disk;
use crate::epochs::{LEADER_EPOCH_CHECKPOINT, LeaderEpochs};
use crate::error::StorageError;
use crate::files::{Home, OpenFiles};
use crate::names::{CLEANED_SUFFIX, DELETED_SUFFIX, FileKind, SWAP_SUFFIX, file_name, parse_file_name};
use crate::segment::{Appender, Segment};

/// What is known of a partition before its folder is opened.
#[derive(Clone, Debug)]
pub struct LogOpening {
    /// The folder, which exists.
    pub dir: PathBuf,
    /// The settings.
    pub config: Arc<LogConfig>,
    /// The log start that was checkpointed, 0 without.
    pub log_start_offset: i64,
    /// The recovery point that was checkpointed, 0 without.
    pub recovery_point: i64,
    /// Whether the last stop was clean, so that nothing needs to be verified.
    pub was_clean: bool,
    /// Whether offsets that are missing between segments are known to be lost ones: the log was never compacted.
    pub is_contiguous: bool,
    /// The time.
    pub now_ms: i64,
}

/// What opening had to do beyond reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments whose batches were verified.
    pub segments_verified: usize,
    /// Where the log was cut, if it was.
    pub truncation: Option<Truncation>,
    /// The first offset that is missing between segments that were not flushed, in a log that is not compacted: a loss of power took the end
    /// of the one before. What is behind is kept, and may be all there is.
    pub gap: Option<i64>,
    /// Everything else that was found wrong and put right, each in a sentence.
    pub repairs: Vec<String>,
}

/// A log was cut at its first batch that is not whole and intact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// The log end since.
    pub offset: i64,
    /// Bytes that were cut off, those of later segments included.
    pub bytes: u64,
    /// What is wrong with the first batch that was not kept.
    pub reason: String,
}

impl RecoveryReport {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.truncation.is_none() && self.gap.is_none() && self.repairs.is_empty()
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} segments verified", self.segments_verified)?;
        if let Some(Truncation { offset, bytes, reason }) = &self.truncation {
            write!(f, "; {bytes} bytes cut off at offset {offset} ({reason})")?;
        }
        if let Some(gap) = self.gap {
            write!(f, "; records from offset {gap} on are missing")?;
        }
        self.repairs.iter().try_for_each(|repair| write!(f, "; {repair}"))
    }
}

impl Log {
    /// Opens the log in an existing folder. After an unclean stop, batches from the recovery point on are verified, the log is
    /// cut at the first bad one, and indexes, producer state and leader epochs are made to agree with what is left.
    /// The high watermark starts at the log start.
    pub fn open(
        disk: Arc<dyn Disk>,
        files: Arc<OpenFiles>,
        opening: LogOpening,
    ) -> Result<(Self, RecoveryReport), StorageError> {
        let home = Home::new(disk, files, opening.dir.clone());
        let mut report = RecoveryReport::default();
        let listing = Listing::read(&home, &mut report)?;
        let mut epochs = load_epochs(&home, &mut report)?;
        let mut recovery = Recovery {
            home: &home,
            opening: &opening,
            snapshots: Snapshots::new(listing.snapshots.clone()),
            epochs: epochs.get_or_insert_default(),
            report: &mut report,
        };
        let (segments, producers) = recovery.run(&listing)?;
        let mut snapshots = recovery.snapshots;
        if !opening.was_clean {
            snapshots.unsynced_from(opening.recovery_point);
        }
        let end_offset = producers.end_offset();
        let base_offset = segments[0].base_offset();
        let log_start_offset = opening.log_start_offset.max(base_offset);
        let mut epochs = epochs.unwrap_or_default();
        epochs.truncate_from_end(end_offset);
        epochs.truncate_from_start(log_start_offset);
        let recovery_point =
            if opening.was_clean { end_offset } else { opening.recovery_point.min(end_offset) };
        let log = Self {
            home,
            config: ArcSwap::new(opening.config),
            segments: ArcSwap::from_pointee(segments),
            log_start_offset: AtomicI64::new(log_start_offset),
            end_offset: AtomicI64::new(end_offset),
            high_watermark: AtomicI64::new(log_start_offset),
            first_unstable_offset: AtomicI64::new(NONE_UNSTABLE),
            epochs: RwLock::new(epochs),
            state: Mutex::new(State {
                appender: Appender::new(opening.now_ms),
                producers,
                snapshots,
                deletions: Vec::new(),
                is_changed: false,
                is_closed: false,
                leader_epoch: -1,
                is_alone: false,
            }),
            flush: FlushState::new(recovery_point),
            compacted_to: AtomicI64::new(log_start_offset),
            cuts: AtomicU64::new(0),
            gap: AtomicI64::new(report.gap.unwrap_or(NO_GAP)),
            is_uncleanable: AtomicBool::new(false),
            is_failed: AtomicBool::new(false),
        };
        log.set_high_watermark(log_start_offset);
        Ok((log, report))
    }
}

/// The checkpoint; `None` when it is missing or damaged, so that it has to be made from the batches.
fn load_epochs(home: &Home, report: &mut RecoveryReport) -> Result<Option<LeaderEpochs>, StorageError> {
    match LeaderEpochs::load(home.disk(), &home.join(LEADER_EPOCH_CHECKPOINT)) {
        Err(e) if e.is_damage() => {
            report.repairs.push(format!("{e}: leader epochs are taken from the batches"));
            Ok(None)
        }
        other => other,
    }
}

/// The files of a partition's folder that are in use.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The log files: base offset and size.
    pub(super) logs: BTreeMap<i64, u64>,
    /// Base offsets of segments that lack an index.
    pub(super) without_index: BTreeSet<i64>,
    snapshots: BTreeSet<i64>,
}

impl Listing {
    /// Lists the folder; finishes deletions and replacements of segments that a stop interrupted.
    fn read(home: &Home, report: &mut RecoveryReport) -> Result<Self, StorageError> {
        let mut names = list(home)?;
        if names.iter().any(|name| name.ends_with(SWAP_SUFFIX) || name.ends_with(CLEANED_SUFFIX)) {
            finish_swaps(home, &names, report)?;
            names = list(home)?;
        }
        let mut listing = Self::default();
        let mut indexes = BTreeSet::new();
        for name in &names {
            let Some((offset, kind, suffix)) = parse_file_name(name) else { continue };
            if suffix == DELETED_SUFFIX {
                home.remove_file(name)?;
                continue;
            }
            match kind {
                FileKind::Log => {
                    let path = home.join(name);
                    let size = home.on("look at", &path, |disk| disk.metadata(&path))?.size;
                    listing.logs.insert(offset, size);
                }
                FileKind::Snapshot => {
                    listing.snapshots.insert(offset);
                }
                kind => {
                    indexes.insert((offset, kind));
                }
            }
        }
        for (offset, kind) in &indexes {
            if !listing.logs.contains_key(offset) {
                report.repairs.push(format!("{} has no log file and is removed", file_name(*offset, *kind)));
                home.remove_file(&file_name(*offset, *kind))?;
            }
        }
        let lacks_index = |offset: &&i64| !indexes.contains(&(**offset, FileKind::OffsetIndex));
        listing.without_index = listing.logs.keys().filter(lacks_index).copied().collect();
        Ok(listing)
    }

    /// The segments in the files; where each ends is what the next one's base says, or for the last its own batches.
    pub(super) fn segments(&self, home: &Arc<Home>) -> Segments {
        let next_offsets = self.logs.keys().skip(1).copied().chain([i64::MAX]);
        let segment = |((base, size), next): ((&i64, &u64), i64)| {
            Arc::new(Segment::existing(home, *base, (next, *size), None))
        };
        self.logs.iter().zip(next_offsets).map(segment).collect()
    }
}

fn list(home: &Home) -> Result<Vec<String>, StorageError> {
    let path = home.path();
    let entries = home.on("list", &path, |disk| disk.list(&path))?;
    Ok(entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.name).collect())
}

/// A compaction was interrupted. Unfinished segments (`.cleaned`) go; finished ones (`.swap`) take the place of those they
/// were made from.
fn finish_swaps(home: &Home, names: &[String], report: &mut RecoveryReport) -> Result<(), StorageError> {
    let parsed: Vec<_> = names.iter().filter_map(|name| Some((name, parse_file_name(name)?))).collect();
    let cleaned = parsed.iter().filter(|(_, (_, _, suffix))| *suffix == CLEANED_SUFFIX);
    // Swap files at or above an unfinished segment belong to a replacement that was not complete.
    let unfinished_from = cleaned.map(|(_, (offset, _, _))| *offset).min().unwrap_or(i64::MAX);
    let mut replaced: Option<(i64, i64)> = None;
    for (name, (offset, kind, suffix)) in &parsed {
        if *suffix == CLEANED_SUFFIX || *suffix == SWAP_SUFFIX && *offset >= unfinished_from {
            home.remove_file(name)?;
        } else if *suffix == SWAP_SUFFIX && *kind == FileKind::Log {
            let next = next_offset_of(home, name, *offset)?;
            let (from, to) = replaced.unwrap_or((*offset, next));
            replaced = Some((from.min(*offset), to.max(next)));
        }
    }
    let Some((from, to)) = replaced else { return finish_renames(home, &parsed, unfinished_from, report) };
    report.repairs.push(format!("an interrupted compaction of offsets {from} to {to} is finished"));
    for (name, (offset, _, suffix)) in &parsed {
        if suffix.is_empty() && (from..to).contains(offset) {
            home.remove_file(name)?;
        }
    }
    for (name, (offset, kind, suffix)) in &parsed {
        if *suffix == SWAP_SUFFIX && *offset < unfinished_from {
            let (old, new) = (home.join(name), home.join(&file_name(*offset, *kind)));
            home.on("rename", &old, |disk| disk.rename(&old, &new))?;
        }
    }
    home.name_changed();
    Ok(())
}

/// The log file had taken its place already when the stop came. Its indexes follow; those without a log file are of no use.
fn finish_renames(
    home: &Home,
    parsed: &[(&String, (i64, FileKind, &str))],
    unfinished_from: i64,
    report: &mut RecoveryReport,
) -> Result<(), StorageError> {
    let is_left = |offset: i64, suffix: &str| suffix == SWAP_SUFFIX && offset < unfinished_from;
    for (name, (offset, kind, _)) in parsed.iter().filter(|(_, (offset, _, suffix))| is_left(*offset, suffix))
    {
        let in_use = file_name(*offset, *kind);
        let has_log = parsed.iter().any(|(_, file)| *file == (*offset, FileKind::Log, ""));
        // Compaction makes no snapshots.
        if has_log && *kind != FileKind::Snapshot {
            report.repairs.push(format!("{name} follows its log file as {in_use}"));
            let (old, new) = (home.join(name), home.join(&in_use));
            home.on("rename", &old, |disk| disk.rename(&old, &new))?;
        } else {
            report.repairs.push(format!("{name} belongs to no log file and is removed"));
            home.remove_file(name)?;
        }
    }
    home.name_changed();
    Ok(())
}

fn next_offset_of(home: &Home, name: &str, base_offset: i64) -> Result<i64, StorageError> {
    let path = home.join(name);
    let file = home.on("open", &path, |disk| disk.open(&path, crate::disk::Access::Read))?;
    let size = file.size().map_err(|e| StorageError::new("look at", &path, e))?;
    let mut headers = crate::scan::Headers::new(&*file, 0, size);
    let mut next_offset = base_offset;
    loop {
        match headers.next_batch() {
            Ok(Some(batch)) => next_offset = batch.next_offset(),
            Ok(None) => return Ok(next_offset),
            Err(e) => return Err(StorageError::damaged("read", &path, e.to_string())),
        }
    }
}
