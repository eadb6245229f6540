//! Moving the log start and deleting segments: by age, by size, and below the log start.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Log, State};
use crate::error::StorageError;
use crate::segment::Segment;

/// Segments that were taken out of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeletedSegments {
    /// How many.
    pub count: usize,
    /// Bytes of their batches.
    pub bytes: u64,
    /// The log start since.
    pub log_start_offset: i64,
}

/// Files of a deleted segment, which stay a while for readers that still have it.
#[derive(Debug)]
pub(super) struct Deletion {
    pub(super) due_ms: i64,
    pub(super) segment: Arc<Segment>,
}

impl Log {
    /// Moves the log start up to `offset`, at most to the high watermark. Whether it moved. Segments below go with the
    /// next [`delete_old_segments`](Self::delete_old_segments).
    pub fn advance_log_start(&self, offset: i64) -> bool {
        let mut state = self.lock();
        self.advance_log_start_locked(&mut state, offset.min(self.high_watermark()))
    }

    fn advance_log_start_locked(&self, state: &mut State, offset: i64) -> bool {
        if offset <= self.log_start_offset() {
            return false;
        }
        self.log_start_offset.store(offset, Ordering::Release);
        self.high_watermark.fetch_max(offset, Ordering::AcqRel);
        self.epochs.write().truncate_from_start(offset);
        state.producers.on_log_start(offset);
        self.publish_first_unstable(state);
        true
    }

    /// Takes segments out of the log that the settings allow to delete: all below the log start, and with
    /// `cleanup.policy=delete` those that are too old or exceed the size. Nothing above the high watermark goes. The files
    /// are renamed now and removed by [`remove_deleted_files`](Self::remove_deleted_files) when their time has come.
    pub fn delete_old_segments(&self, now_ms: i64) -> Result<DeletedSegments, StorageError> {
        let mut state = self.lock();
        let count = self.deletable(now_ms)?;
        let result = self.delete_first(&mut state, count, now_ms);
        result.map_err(|e| self.failed(e))
    }

    /// How many of the first segments may go.
    fn deletable(&self, now_ms: i64) -> Result<usize, StorageError> {
        let segments = self.segments.load();
        let config = self.config.load();
        let (start, high_watermark) = (self.log_start_offset(), self.high_watermark());
        let mut excess = match config.retention_bytes {
            limit if limit >= 0 => self.size() as i64 - limit,
            _ => 0,
        };
        let mut count = 0;
        for (number, segment) in segments.iter().enumerate() {
            let next_base = segments.get(number + 1).map(|next| next.base_offset());
            let size = segment.size() as i64;
            let is_needed = high_watermark < next_base.unwrap_or_else(|| self.log_end_offset());
            if is_needed || next_base.is_none() && size == 0 {
                break;
            }
            let is_below_start = next_base.is_some_and(|base| base <= start);
            let is_excess = config.delete && config.retention_bytes >= 0 && excess >= size;
            let is_old = config.delete
                && config.retention_ms >= 0
                && self.age_ms(segment, now_ms)? > config.retention_ms;
            if !(is_below_start || is_excess || is_old) {
                break;
            }
            excess -= size;
            count += 1;
        }
        Ok(count)
    }

    /// By the largest timestamp of the batches; without one, by the last change of the file.
    fn age_ms(&self, segment: &Segment, now_ms: i64) -> Result<i64, StorageError> {
        let timestamp = segment.max_timestamp()?.timestamp;
        if timestamp >= 0 {
            return Ok(now_ms.saturating_sub(timestamp));
        }
        let path = segment.file().path();
        let modified_ms = self.home.on("look at", &path, |disk| disk.metadata(&path))?.modified_ms;
        Ok(now_ms.saturating_sub(modified_ms))
    }

    fn delete_first(
        &self,
        state: &mut State,
        count: usize,
        now_ms: i64,
    ) -> Result<DeletedSegments, StorageError> {
        let mut segments = self.segments.load_full();
        if count > 0 && count == segments.len() {
            self.roll(state, self.log_end_offset(), now_ms)?;
            segments = self.segments.load_full();
        }
        let (deleted, kept) = segments.split_at(count);
        let bytes = deleted.iter().map(|segment| segment.size()).sum();
        if count > 0 {
            self.advance_log_start_locked(state, kept[0].base_offset());
            self.segments.store(Arc::new(kept.to_vec()));
        }
        let due_ms = now_ms.saturating_add(self.config.load().file_delete_delay_ms);
        for segment in deleted {
            segment.mark_deleted()?;
            state.snapshots.remove(&self.home, segment.base_offset())?;
            state.deletions.push(Deletion { due_ms, segment: Arc::clone(segment) });
        }
        Ok(DeletedSegments { count, bytes, log_start_offset: self.log_start_offset() })
    }

    /// Removes the files of deleted segments whose delay is over; returns when the next are due.
    pub fn remove_deleted_files(&self, now_ms: i64) -> Result<Option<i64>, StorageError> {
        let due = {
            let mut state = self.lock();
            let (due, later) =
                std::mem::take(&mut state.deletions).into_iter().partition(|d| d.due_ms <= now_ms);
            state.deletions = later;
            let due: Vec<Deletion> = due;
            due
        };
        due.iter().try_for_each(|deletion| deletion.segment.remove_files())?;
        Ok(self.lock().deletions.iter().map(|deletion| deletion.due_ms).min())
    }

    /// Removes every file of the log, and the folder. For a folder that was renamed for deletion; the log is closed by it.
    pub fn remove(&self) -> Result<(), StorageError> {
        let _exclusion = self.flush.exclude();
        let mut state = self.lock();
        state.is_closed = true;
        self.segments.load().iter().for_each(|segment| segment.close_files());
        let dir = self.dir();
        let entries = self.home.on("list", &dir, |disk| disk.list(&dir))?;
        for entry in entries.into_iter().filter(|entry| !entry.is_dir) {
            self.home.remove_file(&entry.name)?;
        }
        self.home.on("remove", &dir, |disk| disk.remove_dir(&dir))
    }

    /// Refuses appends from now on; reads go on.
    pub(crate) fn end_appends(&self) {
        self.lock().is_closed = true;
    }

    /// Takes back that appends are refused.
    pub(crate) fn resume_appends(&self) {
        self.lock().is_closed = false;
    }

    pub(crate) fn sync_names(&self) -> Result<(), StorageError> {
        self.home.sync_names()
    }

    /// The folder was made just now: the next flush makes its name durable as well.
    pub(crate) fn folder_is_new(&self) {
        self.home.folder_changed();
    }

    /// Renames the log's folder. Open files and readers are not disturbed.
    pub fn rename(&self, to: &std::path::Path) -> Result<(), StorageError> {
        let _state = self.lock();
        self.home.rename(to).map_err(|e| self.failed(e))
    }
}
