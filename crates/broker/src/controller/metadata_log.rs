//! The metadata log on disk: the partition folder `__cluster_metadata-0`, with its snapshots and the `quorum-state` file.
//!
//! Offsets and epochs are decided by the quorum; here batches are written and read as they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use klamm_log::disk::{self, Access, Disk, File};
use klamm_log::{Log, LogDirs, StorageError};
use klamm_metadata::log_batch::{LogBatch, LogBatchError, decode_batch};
use klamm_metadata::snapshot::{Snapshot, SnapshotError, SnapshotId};
use klamm_quorum::election_state::ElectionStateError;
use klamm_quorum::log_state::EpochStart;
use klamm_quorum::{ElectionState, LogState};
use klamm_records::{BatchError, batches};

use crate::limits::SNAPSHOT_BYTES_MAX;
use crate::storage::metadata_name;

/// The folder's name.
pub(crate) const FOLDER: &str = "__cluster_metadata-0";
const QUORUM_STATE_FILE: &str = "quorum-state";
const QUORUM_STATE_BYTES_MAX: u64 = 1024 * 1024;
/// The end of a snapshot's name while it is being loaded.
const UNFINISHED_SUFFIX: &str = ".part";
/// More than a snapshot's first batch has, which holds its time and the voters.
const SNAPSHOT_HEADER_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 8 * 1024 * 1024;

/// The metadata log cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum MetadataLogError {
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log cannot be read.
    #[error("the metadata log cannot be read: {0}")]
    Read(#[from] klamm_log::ReadError),
    /// The log takes no batch.
    #[error("the metadata log cannot be appended to: {0}")]
    Append(#[from] klamm_log::AppendError),
    /// A file of the folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A batch is damaged.
    #[error("{}: the metadata log is damaged behind offset {offset}: {source}", dir.display())]
    Batch {
        /// The log's folder.
        dir: PathBuf,
        /// Everything before it is intact.
        offset: i64,
        /// What is wrong with the batch.
        source: BatchError,
    },
    /// Between two batches some are missing, which no controller leaves out.
    #[error("{}: the metadata log goes on at offset {found} behind offset {offset}", dir.display())]
    Gap {
        /// The log's folder.
        dir: PathBuf,
        /// Everything before it is intact.
        offset: i64,
        /// The first offset behind the gap.
        found: i64,
    },
    /// A batch's records are of newer software, or never were what a controller writes.
    #[error("{}: the metadata log cannot be read: {source}", dir.display())]
    Records {
        /// The log's folder.
        dir: PathBuf,
        /// Which record it is, and what is wrong with it.
        source: LogBatchError,
    },
    /// A batch is damaged in a way that hides those behind it.
    #[error("{}: nothing can be read from offset {offset} on, but the log ends at {end}: the disk has damaged it", dir.display())]
    Unreadable {
        /// The folder.
        dir: PathBuf,
        /// Where reading stops.
        offset: i64,
        /// Where the log ends.
        end: i64,
    },
    /// A snapshot is damaged.
    #[error("{}: {source}", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SnapshotError,
    },
    /// The election state is damaged.
    #[error("{}: {source}", path.display())]
    ElectionState {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ElectionStateError,
    },
}

/// A snapshot as it lies on disk.
pub(crate) struct SnapshotFile {
    pub(crate) file: Box<dyn File>,
    /// Its bytes.
    pub(crate) size: u64,
}

/// The log, its snapshots and the election state.
pub(crate) struct MetadataLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log: Arc<Log>,
    /// Where its recovery point is checkpointed: at once when the log is cut, since what comes next is not on the device.
    dirs: Arc<LogDirs>,
}

impl MetadataLog {
    /// The log in a folder that a log directory opened.
    ///
    /// # Errors
    /// When the log ends before its oldest snapshot and cannot be made to begin there.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dirs: Arc<LogDirs>,
        log: Arc<Log>,
        now_ms: i64,
    ) -> Result<Self, MetadataLogError> {
        let log = Self { disk, dir: log.dir(), log, dirs };
        log.remove_unfinished_snapshots()?;
        let Some(latest) = log.snapshots()?.last().copied() else { return Ok(log) };
        if log.is_behind(latest) {
            log.dirs.lower_recovery_point(&metadata_name(), latest.end_offset)?;
            log.log.truncate_fully_and_start_at(latest.end_offset, latest.end_offset, now_ms)?;
        }
        log.remove_superseded_snapshots(latest)?;
        Ok(log)
    }

    /// The log begins behind its oldest snapshot. One that ends before is left over from a node that stopped after it had cut the log: to
    /// followers it would stand for the beginning of the log, which has another epoch.
    fn remove_superseded_snapshots(&self, latest: SnapshotId) -> Result<(), MetadataLogError> {
        let begin = self.log.log_start_offset().min(latest.end_offset);
        let mut superseded = self.snapshots()?.into_iter().filter(|id| id.end_offset < begin);
        superseded.try_for_each(|id| self.remove_file(&id.to_string()))
    }

    /// Whether a snapshot that another node took replaces the log as a whole.
    fn is_behind(&self, snapshot: SnapshotId) -> bool {
        let (end_offset, epoch) = (self.log.log_end_offset(), self.log.latest_epoch());
        let is_older = epoch.is_some_and(|epoch| epoch < snapshot.epoch);
        // What ends where the snapshot ends and has another epoch there is of a leader whose records were never committed.
        let is_another =
            end_offset == snapshot.end_offset && epoch.is_some_and(|epoch| epoch != snapshot.epoch);
        end_offset < snapshot.end_offset || is_older || is_another
    }

    fn remove_unfinished_snapshots(&self) -> Result<(), MetadataLogError> {
        let entries = self.disk.list(&self.dir).map_err(|source| self.file_error("", source))?;
        for entry in entries.iter().filter(|entry| entry.name.ends_with(UNFINISHED_SUFFIX)) {
            self.remove_file(&entry.name)?;
        }
        Ok(())
    }

    /// Removes a file, unless another has.
    fn remove_file(&self, name: &str) -> Result<(), MetadataLogError> {
        match self.disk.remove(&self.dir.join(name)) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(self.file_error(name, source))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The log's shape, for the quorum.
    pub(crate) fn state(&self) -> Result<LogState, MetadataLogError> {
        let snapshots = self.snapshots()?;
        let epochs = self
            .log
            .epochs()
            .into_iter()
            .map(|start| EpochStart { epoch: start.epoch, offset: start.start_offset });
        Ok(LogState {
            start_offset: self.log.log_start_offset(),
            end_offset: self.log.log_end_offset(),
            flushed_offset: self.log.recovery_point(),
            epochs: epochs.collect(),
            latest_snapshot: snapshots.last().copied(),
            earliest_snapshot: snapshots.first().copied(),
        })
    }

    /// Appends a batch that has its offset and epoch.
    pub(crate) fn append(&self, batch: &[u8], epoch: i32, now_ms: i64) -> Result<(), MetadataLogError> {
        self.log.append_as_follower(batch, epoch, now_ms)?;
        Ok(())
    }

    /// Makes everything durable that was appended before the call; returns up to where.
    pub(crate) fn flush(&self) -> Result<i64, MetadataLogError> {
        Ok(self.log.flush(self.log.log_end_offset())?.recovery_point)
    }

    /// Reads and decodes every batch from `offset` on. A clean stop leaves nothing to recover, so each is verified here.
    pub(crate) fn batches_from(&self, mut offset: i64) -> Result<Vec<LogBatch>, MetadataLogError> {
        let mut decoded = Vec::new();
        loop {
            let bytes = self.read(offset, READ_BYTES)?;
            let mut next = offset;
            for batch in batches(&bytes) {
                let intact = batch.and_then(|batch| batch.check_crc().map(|()| batch));
                let batch = intact.map_err(|source| self.damaged(next, source))?;
                let batch = decode_batch(&batch)
                    .map_err(|source| MetadataLogError::Records { dir: self.dir.clone(), source })?;
                if batch.base_offset > next {
                    let (dir, found) = (self.dir.clone(), batch.base_offset);
                    return Err(MetadataLogError::Gap { dir, offset: next, found });
                }
                next = batch.last_offset + 1;
                if next > offset {
                    decoded.push(batch);
                }
            }
            if next == offset {
                let end = self.log.log_end_offset();
                return match offset < end {
                    true => Err(MetadataLogError::Unreadable { dir: self.dir.clone(), offset, end }),
                    false => Ok(decoded),
                };
            }
            offset = next;
        }
    }

    fn damaged(&self, offset: i64, source: BatchError) -> MetadataLogError {
        MetadataLogError::Batch { dir: self.dir.clone(), offset, source }
    }

    fn read(&self, offset: i64, bytes_max: usize) -> Result<Vec<u8>, MetadataLogError> {
        let slice = self.log.read(offset, i64::MAX, bytes_max, true, None)?;
        let Some(data) = slice.data else { return Ok(Vec::new()) };
        let mut bytes = vec![0; data.length];
        disk::read_exact_at(&*data.file, &mut bytes, data.position)
            .map_err(|source| self.file_error("", source))?;
        Ok(bytes)
    }

    /// The snapshots, oldest first.
    pub(crate) fn snapshots(&self) -> Result<Vec<SnapshotId>, MetadataLogError> {
        snapshots(&*self.disk, &self.dir)
    }

    /// Reads a snapshot.
    pub(crate) fn load_snapshot(&self, id: SnapshotId) -> Result<Snapshot, MetadataLogError> {
        let path = self.dir.join(id.to_string());
        let bytes = disk::read_file(&*self.disk, &path, SNAPSHOT_BYTES_MAX);
        let bytes = bytes.map_err(|source| self.file_error(&id.to_string(), source))?;
        Snapshot::decode(&bytes).map_err(|source| MetadataLogError::Snapshot { path, source })
    }

    /// Writes a snapshot, durable on return.
    pub(crate) fn save_snapshot(&self, id: SnapshotId, bytes: &[u8]) -> Result<(), MetadataLogError> {
        let name = id.to_string();
        let saved = disk::replace_file(&*self.disk, &self.dir.join(&name), bytes, true);
        saved.map_err(|source| self.file_error(&name, source))
    }

    /// A file for a snapshot that is being loaded, empty.
    pub(crate) fn begin_snapshot(&self, id: SnapshotId) -> Result<Box<dyn File>, MetadataLogError> {
        let name = format!("{id}{UNFINISHED_SUFFIX}");
        let begun = self.disk.open(&self.dir.join(&name), Access::Create);
        begun
            .and_then(|file| file.set_size(0).map(|()| file))
            .map_err(|source| self.file_error(&name, source))
    }

    /// Reads a snapshot that was loaded, once it is durable.
    pub(crate) fn check_snapshot(
        &self,
        id: SnapshotId,
        file: &dyn File,
    ) -> Result<Snapshot, MetadataLogError> {
        let name = format!("{id}{UNFINISHED_SUFFIX}");
        file.sync_data().map_err(|source| self.file_error(&name, source))?;
        let path = self.dir.join(&name);
        let bytes = disk::read_file(&*self.disk, &path, SNAPSHOT_BYTES_MAX)
            .map_err(|source| self.file_error(&name, source))?;
        Snapshot::decode(&bytes).map_err(|source| MetadataLogError::Snapshot { path, source })
    }

    /// Has a snapshot that was loaded and checked replace the log and the snapshots before it.
    pub(crate) fn install_snapshot(&self, id: SnapshotId, now_ms: i64) -> Result<(), MetadataLogError> {
        let name = id.to_string();
        let unfinished = format!("{id}{UNFINISHED_SUFFIX}");
        let renamed = self.disk.rename(&self.dir.join(&unfinished), &self.dir.join(&name));
        renamed
            .and_then(|()| self.disk.sync_dir(&self.dir))
            .map_err(|source| self.file_error(&name, source))?;
        self.log.truncate_fully_and_start_at(id.end_offset, id.end_offset, now_ms)?;
        self.dirs.checkpoint_offsets()?;
        self.remove_snapshots_before(id)
    }

    /// A snapshot's file; none where there is no such snapshot.
    pub(crate) fn open_snapshot(&self, id: SnapshotId) -> Result<Option<SnapshotFile>, MetadataLogError> {
        let name = id.to_string();
        let opened = self.disk.open(&self.dir.join(&name), Access::Read);
        match opened.and_then(|file| file.size().map(|size| SnapshotFile { file, size })) {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.file_error(&name, source)),
        }
    }

    /// Bytes of all snapshots. One that goes meanwhile, because another takes its place, has none.
    pub(crate) fn snapshot_bytes(&self) -> Result<u64, MetadataLogError> {
        let size = |id: SnapshotId| {
            let name = id.to_string();
            let metadata = self.disk.metadata(&self.dir.join(&name));
            match metadata {
                Ok(metadata) => Ok(metadata.size),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
                Err(source) => Err(self.file_error(&name, source)),
            }
        };
        self.snapshots()?.into_iter().map(size).sum()
    }

    /// The time of the last record in the oldest snapshot but the one that formatting wrote, in milliseconds.
    pub(crate) fn oldest_snapshot_ms(&self) -> Result<Option<i64>, MetadataLogError> {
        let mut taken = self.snapshots()?.into_iter().filter(|id| *id != SnapshotId::BOOTSTRAP);
        let Some(oldest) = taken.next() else { return Ok(None) };
        let Some(SnapshotFile { file, .. }) = self.open_snapshot(oldest)? else { return Ok(None) };
        let mut bytes = vec![0; SNAPSHOT_HEADER_BYTES];
        let read = disk::read_up_to_at(&*file, &mut bytes, 0)
            .map_err(|source| self.file_error(&oldest.to_string(), source))?;
        let header = batches(&bytes[..read]).next().and_then(Result::ok);
        Ok(header.and_then(|batch| Snapshot::timestamp_of(&batch)))
    }

    /// Cuts the log: it ends at `offset`.
    pub(crate) fn truncate(&self, offset: i64, now_ms: i64) -> Result<(), MetadataLogError> {
        self.log.truncate_to(offset, now_ms)?;
        Ok(self.dirs.checkpoint_offsets()?)
    }

    /// Deletes the log before `snapshot`, and the snapshots before it, which it replaces.
    pub(crate) fn delete_before(&self, snapshot: SnapshotId, now_ms: i64) -> Result<(), MetadataLogError> {
        self.log.set_high_watermark(self.log.recovery_point());
        self.log.advance_log_start(snapshot.end_offset);
        self.log.delete_old_segments(now_ms)?;
        self.remove_snapshots_before(snapshot)
    }

    fn remove_snapshots_before(&self, snapshot: SnapshotId) -> Result<(), MetadataLogError> {
        let mut older = self.snapshots()?.into_iter().filter(|id| *id < snapshot);
        older.try_for_each(|id| self.remove_file(&id.to_string()))
    }

    /// Removes files of deleted segments whose time has come.
    pub(crate) fn remove_deleted_files(&self, now_ms: i64) -> Result<(), MetadataLogError> {
        self.log.remove_deleted_files(now_ms)?;
        Ok(())
    }

    /// Reads the election state; the default where there is none yet.
    pub(crate) fn load_election_state(&self) -> Result<ElectionState, MetadataLogError> {
        let path = self.dir.join(QUORUM_STATE_FILE);
        match disk::read_file(&*self.disk, &path, QUORUM_STATE_BYTES_MAX) {
            Ok(text) => ElectionState::from_json(&text)
                .map_err(|source| MetadataLogError::ElectionState { path, source }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(ElectionState::default()),
            Err(source) => Err(MetadataLogError::File { path, source }),
        }
    }

    /// Writes the election state, durable on return.
    pub(crate) fn save_election_state(&self, text: &str) -> Result<(), MetadataLogError> {
        let saved = disk::replace_file(&*self.disk, &self.dir.join(QUORUM_STATE_FILE), text.as_bytes(), true);
        saved.map_err(|source| self.file_error(QUORUM_STATE_FILE, source))
    }

    fn file_error(&self, name: &str, source: std::io::Error) -> MetadataLogError {
        MetadataLogError::File { path: self.dir.join(name), source }
    }
}

fn snapshots(disk: &dyn Disk, dir: &Path) -> Result<Vec<SnapshotId>, MetadataLogError> {
    let entries = disk.list(dir).map_err(|source| MetadataLogError::File { path: dir.to_owned(), source })?;
    let mut ids: Vec<_> =
        entries.iter().filter_map(|entry| SnapshotId::from_file_name(&entry.name)).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Makes the folder with the snapshot that a cluster begins with. Leaves alone what is there.
pub(crate) fn format(disk: &dyn Disk, log_dir: &Path, snapshot: &[u8]) -> Result<(), MetadataLogError> {
    let dir = log_dir.join(FOLDER);
    let error = |source| MetadataLogError::File { path: dir.clone(), source };
    disk.create_dir(&dir).map_err(error)?;
    disk.sync_dir(log_dir).map_err(error)?;
    let path = dir.join(SnapshotId::BOOTSTRAP.to_string());
    if disk.open(&path, Access::Read).is_err() {
        disk::replace_file(disk, &path, snapshot, true).map_err(error)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use klamm_log::LogConfig;
    use klamm_log::disk::simulated::{Crash, SimulatedDisk};
    use klamm_records::{BatchBuilder, NewRecord};

    use super::*;

    const CLUSTER: &str = "cluster";

    fn open(disk: &SimulatedDisk) -> (Arc<LogDirs>, Arc<Log>) {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let dirs = Arc::new(LogDirs::open(disk, &["/data".into()], 100).unwrap());
        dirs.format(CLUSTER, 1, || klamm_protocol::Uuid::from_u128(7 << 64)).unwrap();
        let directory = dirs.directories()[0].clone();
        let (log, _) =
            dirs.open_separately(&directory, &metadata_name(), Arc::new(LogConfig::default()), 0).unwrap();
        dirs.begin(&directory).unwrap();
        (dirs, log)
    }

    fn batch(offset: i64, epoch: i32) -> Vec<u8> {
        let value = "v".repeat(700);
        let mut builder = BatchBuilder::new(0);
        builder.append(&NewRecord { timestamp: 1, key: None, value: Some(value.as_bytes()), headers: &[] });
        let batch = builder.finish();
        let mut header = *batch.header();
        (header.base_offset, header.partition_leader_epoch) = (offset, epoch);
        [&header.write()[..], batch.body()].concat()
    }

    fn append(log: &Log, offsets: std::ops::Range<i64>, epoch: i32) {
        for offset in offsets {
            log.append_as_follower(&batch(offset, epoch), epoch, 0).unwrap();
        }
    }

    /// As many records as the snapshot replaces, of a leader that never had them committed.
    #[test]
    fn a_log_of_another_epoch_that_ends_with_a_snapshot_is_replaced() {
        for (epoch, begin) in [(1, 0), (3, 10)] {
            let disk = SimulatedDisk::seeded(1);
            let (dirs, log) = open(&disk);
            append(&log, 0..10, epoch);
            let name = SnapshotId { end_offset: 10, epoch: 1 }.to_string();
            disk::replace_file(&disk, &log.dir().join(name), b"replaces the log", true).unwrap();
            let log = MetadataLog::new(Arc::new(disk.clone()), dirs, log, 0).unwrap();
            assert_eq!((log.log().log_start_offset(), log.log().log_end_offset()), (begin, 10));
        }
    }

    /// A snapshot that another node took is on disk, and the log that it replaces was not cut yet. What is appended behind the cut is not
    /// on the device for the log having been there once up to beyond it.
    #[test]
    fn a_log_that_a_snapshot_replaces_at_a_start_is_recovered_from_there() {
        let disk = SimulatedDisk::seeded(1);
        let (dirs, log) = open(&disk);
        append(&log, 0..30, 1);
        log.flush(30).unwrap();
        dirs.checkpoint_offsets().unwrap();
        let name = SnapshotId { end_offset: 10, epoch: 2 }.to_string();
        disk::replace_file(&disk, &log.dir().join(name), b"replaces the log", true).unwrap();
        drop((dirs, log));
        disk.restart(Crash::Power);
        let (dirs, log) = open(&disk);
        let log = MetadataLog::new(Arc::new(disk.clone()), dirs, log, 0).unwrap();
        assert_eq!((log.log().log_start_offset(), log.log().log_end_offset()), (10, 10));
        append(log.log(), 10..20, 2);
        drop(log);
        disk.restart(Crash::Power);
        let checkpoint = Path::new("/data/recovery-point-offset-checkpoint");
        let known = klamm_log::read_offsets(&disk, checkpoint).unwrap();
        assert_eq!(known.get(&metadata_name()), Some(&10));
    }
}
