//! Putting a compacted segment in the place of those it was made from.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::CompactionError;
use super::filter::Retention;
use crate::files::Stage;
use crate::log::retention::Deletion;
use crate::log::{Log, Segments, State};
use crate::segment::Segment;

impl Log {
    /// Replaces `group` by `cleaned`, whose content is on the device.
    ///
    /// From the moment at which its files are called `.swap`, a start finishes what a stop interrupts; folders lose changes of names only from
    /// the newest on, so the old files are never gone without the new ones being there.
    pub(super) fn replace(
        &self,
        group: &[Arc<Segment>],
        cleaned: &Arc<Segment>,
        retention: &Retention<'_>,
    ) -> Result<(), CompactionError> {
        // Neither a truncation nor a flush meets the files half-way.
        let _exclusion = self.flush.exclude();
        self.check_unchanged(&self.lock(), group, retention.cuts)?;
        cleaned
            .change_stage(Stage::Swap)
            .and_then(|()| self.home.sync_names())
            .map_err(|e| self.failed(e))?;
        let mut state = self.lock();
        let segments = self.check_unchanged(&state, group, retention.cuts)?;
        let swapped = self.swap(&mut state, &segments, group, cleaned, retention.now_ms);
        swapped.map_err(|e| self.failed(e))?;
        drop(state);
        Ok(self.home.sync_names().map_err(|e| self.failed(e))?)
    }

    /// The segments, if `group` is still among them as it was, and the round has not been ended.
    fn check_unchanged(
        &self,
        state: &State,
        group: &[Arc<Segment>],
        cuts: u64,
    ) -> Result<Arc<Segments>, CompactionError> {
        let segments = self.segments.load_full();
        let is_there = segments
            .windows(group.len())
            .any(|window| window.iter().zip(group).all(|(present, expected)| present.id() == expected.id()));
        let is_same = is_there && self.cuts.load(Ordering::Acquire) == cuts;
        match is_same && !state.is_closed && !self.is_failed() {
            true => Ok(segments),
            false => Err(CompactionError::Interrupted),
        }
    }

    fn swap(
        &self,
        state: &mut State,
        segments: &Segments,
        group: &[Arc<Segment>],
        cleaned: &Arc<Segment>,
        now_ms: i64,
    ) -> Result<(), crate::StorageError> {
        let due_ms = now_ms.saturating_add(self.config().file_delete_delay_ms);
        // A file that waits under the same name is replaced by the rename.
        let replaced = |deletion: &Deletion| {
            group.iter().any(|segment| segment.base_offset() == deletion.segment.base_offset())
        };
        state.deletions.retain(|deletion| !replaced(deletion));
        for segment in group {
            segment.mark_deleted()?;
            state.deletions.push(Deletion { due_ms, segment: Arc::clone(segment) });
        }
        for segment in &group[1..] {
            state.snapshots.remove(&self.home, segment.base_offset())?;
        }
        cleaned.change_stage(Stage::InUse)?;
        let first = segments.partition_point(|segment| segment.base_offset() < group[0].base_offset());
        let mut replaced = segments.to_vec();
        replaced.splice(first..first + group.len(), [Arc::clone(cleaned)]);
        self.segments.store(Arc::new(replaced));
        state.is_changed = true;
        Ok(())
    }
}
