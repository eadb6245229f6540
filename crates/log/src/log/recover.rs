//! Making a folder's files agree: which segments there are, where the log ends, and what producers are known.
//!
//! A power loss may take the end of a segment that was not flushed and leave the next one. Only where a log is known never to
//! have been compacted (the metadata log) is such a hole between segments a reason to cut: applying what is behind it would be
//! wrong. In a partition's log a hole may be what compaction left, by this topic's settings or by earlier ones, and
//! nothing in the files tells; cutting there would destroy flushed records. So those behind the hole are kept, as Kafka does.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::open::{Listing, LogOpening, RecoveryReport, Truncation};
use super::snapshots::{self, Snapshots};
use super::{Segments, floor};
use crate::epochs::LeaderEpochs;
use crate::error::StorageError;
use crate::files::Home;
use crate::producers::{EndMarker, ProducerStates, Rules, Staged};
use crate::scan::BatchEntry;
use crate::segment::{RecoveryStart, Segment};

pub(super) struct Recovery<'a> {
    pub(super) home: &'a Arc<Home>,
    pub(super) opening: &'a LogOpening,
    pub(super) snapshots: Snapshots,
    pub(super) epochs: &'a mut LeaderEpochs,
    pub(super) report: &'a mut RecoveryReport,
}

impl Recovery<'_> {
    /// The segments, of which there is at least one, and the producer state at the log end.
    pub(super) fn run(&mut self, listing: &Listing) -> Result<(Segments, ProducerStates), StorageError> {
        let mut segments = listing.segments(self.home);
        self.remove_snapshots_beyond(&segments)?;
        self.restore_indexes(&segments, listing)?;
        let mut states = self.recover_tail(&mut segments)?;
        if states.end_offset() < self.opening.log_start_offset {
            states = self.start_anew(&mut segments, states.end_offset())?;
        }
        if segments.is_empty() {
            segments.push(Arc::new(Segment::empty(self.home, self.opening.log_start_offset)));
        }
        let log_start_offset = self.opening.log_start_offset.max(segments[0].base_offset());
        match self.epochs.earliest() {
            None => self.rebuild_epochs(&segments, i64::MAX)?,
            // The log start was written down less often than the epochs.
            Some(first) if !self.opening.was_clean && first.start_offset > log_start_offset => {
                self.rebuild_epochs(&segments, first.start_offset)?
            }
            Some(_) => {}
        }
        let base_offsets: Vec<i64> = segments.iter().map(|segment| segment.base_offset()).collect();
        self.snapshots.remove_strays(self.home, &base_offsets)?;
        Ok((segments, states))
    }

    fn remove_snapshots_beyond(&mut self, segments: &Segments) -> Result<(), StorageError> {
        match segments.is_empty() {
            true => self.snapshots.retain(self.home, |_| false),
            false => Ok(()),
        }
    }

    /// A segment below the recovery point without an index was not closed as it should have been: its indexes are
    /// made anew from its batches.
    fn restore_indexes(&mut self, segments: &Segments, listing: &Listing) -> Result<(), StorageError> {
        let unflushed = self.first_unflushed(segments);
        for segment in &segments[..unflushed] {
            if !listing.without_index.contains(&segment.base_offset()) || segment.size() == 0 {
                continue;
            }
            let path = segment.file().path();
            self.report.repairs.push(format!("{} had no index and was read to make it", path.display()));
            segment.rebuild_indexes(self.opening.config.index_interval_bytes)?;
        }
        Ok(())
    }

    /// The first segment that may hold more than what was flushed: all from the one with the recovery point on.
    fn first_unflushed(&self, segments: &Segments) -> usize {
        match self.opening.was_clean {
            true => segments.len().saturating_sub(1),
            false => floor(segments, self.opening.recovery_point),
        }
    }

    /// Finds the log end: after a clean stop by the last segment's index, else by verifying what may not be flushed.
    fn recover_tail(&mut self, segments: &mut Segments) -> Result<ProducerStates, StorageError> {
        let Some(last) = segments.last() else {
            return Ok(ProducerStates::starting_at(self.opening.log_start_offset));
        };
        if self.opening.was_clean {
            match next_offset(last) {
                Ok(next_offset) => {
                    let (base_offset, size) = (last.base_offset(), last.size());
                    let last = Segment::existing(self.home, base_offset, (next_offset, size), None);
                    segments.pop();
                    segments.push(Arc::new(last));
                    return self.producers_at(segments, next_offset);
                }
                // A clean stop leaves nothing torn: this is a damaged disk. A log of which every record counts for those behind it must
                // not go on without them.
                Err(e) if e.is_damage() && !self.opening.is_contiguous => {
                    self.report.repairs.push(format!("{e}: the segment is verified"))
                }
                Err(e) => return Err(e),
            }
        }
        self.verify_from(segments, self.first_unflushed(segments))
    }

    fn verify_from(&mut self, segments: &mut Segments, first: usize) -> Result<ProducerStates, StorageError> {
        let trusted_to = if self.opening.was_clean { 0 } else { self.opening.recovery_point };
        let start = segments[first].recovery_start(trusted_to);
        // Later ones may be torn, or know more than the log still does: they are written again on the way.
        self.snapshots.retain(self.home, |offset| offset <= start.offset)?;
        let mut states = self.producers_at(segments, start.offset)?;
        for number in first..segments.len() {
            let segment = Arc::clone(&segments[number]);
            let start = if number == first { start } else { segment.recovery_start(segment.base_offset()) };
            if let Some(reason) = self.hole(&segments[first..number], &segment) {
                let lost = segments.split_off(number);
                self.cut(&lost, segments[number - 1].end().0, 0, reason)?;
                break;
            }
            self.note_gap(&segments[first..number], &segment);
            if number > first {
                states.set_end_offset(states.end_offset().max(segment.base_offset()));
                self.snapshots.take(self.home, &states)?;
            }
            let cut = self.recover_segment(&segment, start, &mut states)?;
            if let Some((bytes, reason)) = cut {
                let later = segments.split_off(number + 1);
                self.cut(&later, segment.end().0, bytes, reason)?;
                break;
            }
        }
        let end_offset = segments.last().map_or(0, |last| last.end().0);
        states.set_end_offset(end_offset);
        Ok(states)
    }

    /// Whether records are missing between segments that were not flushed, and not by compaction; or there twice.
    fn hole(&self, before: &[Arc<Segment>], segment: &Segment) -> Option<String> {
        let (expected, _) = before.last()?.end();
        let base_offset = segment.base_offset();
        if base_offset < expected {
            return Some(format!("offsets {base_offset} to {} are there already", expected - 1));
        }
        (self.opening.is_contiguous && expected < base_offset)
            .then(|| format!("offsets {expected} to {} are missing", base_offset - 1))
    }

    /// Records that are missing in a log which is compacted are not told from those that compaction took.
    fn note_gap(&mut self, before: &[Arc<Segment>], segment: &Segment) {
        let Some(expected) = before.last().map(|before| before.end().0) else { return };
        let expected = expected.max(self.opening.log_start_offset);
        if expected < segment.base_offset() && !self.opening.config.compact {
            self.report.gap = self.report.gap.or(Some(expected));
        }
    }

    /// Removes `lost` segments behind `offset`, where the log ends now, and notes it.
    fn cut(
        &mut self,
        lost: &[Arc<Segment>],
        offset: i64,
        bytes: u64,
        reason: String,
    ) -> Result<(), StorageError> {
        let bytes = bytes + lost.iter().map(|segment| segment.size()).sum::<u64>();
        self.report.truncation = Some(Truncation { offset, bytes, reason });
        self.remove(lost)
    }

    /// Verifies a segment; returns the bytes that were cut off and why, if any were.
    fn recover_segment(
        &mut self,
        segment: &Segment,
        start: RecoveryStart,
        states: &mut ProducerStates,
    ) -> Result<Option<(u64, String)>, StorageError> {
        let epochs = &mut *self.epochs;
        let recovered =
            segment.recover(start, self.opening.config.index_interval_bytes, |batch, bytes| {
                let Some(header) = &batch.header else { return Ok(()) };
                // An epoch in the checkpoint may be one that was cut off meanwhile. What is behind it is read as well.
                if epochs.epoch_for_offset(header.base_offset) != Some(header.partition_leader_epoch) {
                    epochs.assign(header.partition_leader_epoch, header.base_offset);
                }
                if !header.has_producer_id() || header.base_offset < states.end_offset() {
                    return Ok(());
                }
                let body = &bytes[klamm_records::BatchHeader::SIZE..];
                let marker = header.attributes.is_control().then(|| EndMarker::parse(header, body)).flatten();
                replay(states, batch, marker)
                    .into_iter()
                    .try_for_each(|aborted| segment.transaction_index().append(aborted))
            })?;
        self.report.segments_verified += 1;
        Ok(recovered.reason.map(|reason| (recovered.truncated_bytes, reason)))
    }

    /// Producer state at `offset`: the newest usable snapshot, and the batches behind it.
    fn producers_at(&mut self, segments: &Segments, offset: i64) -> Result<ProducerStates, StorageError> {
        let loader = ProducerLoader {
            home: self.home,
            segments,
            log_start_offset: self.opening.log_start_offset,
            expired_before_ms: self
                .opening
                .now_ms
                .saturating_sub(self.opening.config.producer_id_expiration_ms),
        };
        loader.load(&mut self.snapshots, offset, &mut self.report.repairs)
    }

    /// The log ends before it begins: files were lost. Nothing of it may be read.
    fn start_anew(
        &mut self,
        segments: &mut Segments,
        end_offset: i64,
    ) -> Result<ProducerStates, StorageError> {
        let start = self.opening.log_start_offset;
        self.report
            .repairs
            .push(format!("the log ended at {end_offset}, before its start {start}: it is empty now"));
        self.remove(&std::mem::take(segments))?;
        self.snapshots.retain(self.home, |_| false)?;
        self.epochs.clear();
        Ok(ProducerStates::starting_at(start))
    }

    fn remove(&self, segments: &[Arc<Segment>]) -> Result<(), StorageError> {
        segments.iter().try_for_each(|segment| segment.remove_files())
    }

    /// Takes the epochs of what is below `end` from the batches; what is known from there on stays.
    fn rebuild_epochs(&mut self, segments: &Segments, end: i64) -> Result<(), StorageError> {
        let known = std::mem::take(self.epochs);
        let epochs = &mut *self.epochs;
        for segment in segments.iter().take_while(|segment| segment.base_offset() < end) {
            segment.for_each_header(0, |batch| {
                if batch.base_offset >= end {
                    return Ok(ControlFlow::Break(()));
                }
                let epoch = batch.header.map_or(-1, |header| header.partition_leader_epoch);
                if epochs.latest().is_none_or(|latest| epoch > latest.epoch) {
                    epochs.assign(epoch, batch.base_offset);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        known.entries().iter().for_each(|entry| epochs.assign(entry.epoch, entry.start_offset));
        Ok(())
    }
}

/// Where the last segment ends: behind the last of the batches from its last index entry on.
fn next_offset(segment: &Segment) -> Result<i64, StorageError> {
    let size = segment.size();
    let indexed = segment.offset_index().last()?;
    if indexed.position > 0 && indexed.position >= size {
        let what = format!("the last entry points to byte {} of {size}", indexed.position);
        return Err(StorageError::damaged("use", &segment.offset_index().file().path(), what));
    }
    let mut next_offset = segment.base_offset();
    segment.for_each_header(indexed.position, |batch| {
        if batch.base_offset < next_offset {
            let what = format!("offset {} behind {}", batch.base_offset, next_offset - 1);
            return Err(StorageError::damaged("read", &segment.file().path(), what));
        }
        next_offset = batch.next_offset();
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(next_offset)
}

/// The effect of a batch that is in the log already.
fn replay(
    states: &mut ProducerStates,
    batch: &BatchEntry,
    marker: Option<EndMarker>,
) -> Vec<crate::index::AbortedTransaction> {
    let mut staged = Staged::default();
    if let Some(header) = &batch.header
        && let Err(error) = states.stage(&mut staged, header, marker, Rules::REPLICATION)
    {
        // What the leader accepted is not refused; there is no rule that fails in replication.
        tracing::error!(%error, "a batch in the log contradicts the producer state");
        return Vec::new();
    }
    states.commit(staged, batch.next_offset())
}

/// Loads producer state from snapshots and the log.
pub(super) struct ProducerLoader<'a> {
    pub(super) home: &'a Home,
    pub(super) segments: &'a Segments,
    pub(super) log_start_offset: i64,
    pub(super) expired_before_ms: i64,
}

impl ProducerLoader<'_> {
    /// The state at `offset`, and the snapshots at most there. Damaged snapshots are removed, and told in `repairs`.
    pub(super) fn load(
        &self,
        snapshots: &mut Snapshots,
        offset: i64,
        repairs: &mut Vec<String>,
    ) -> Result<ProducerStates, StorageError> {
        let start = self.log_start_offset.min(offset);
        let mut states = ProducerStates::starting_at(start);
        snapshots.set_last_offset(start);
        while let Some(at) = snapshots.latest_in(self.log_start_offset, offset) {
            match snapshots::read(self.home, at) {
                Ok(producers) => {
                    states = ProducerStates::from_snapshot(at, producers, self.expired_before_ms);
                    snapshots.set_last_offset(at);
                    break;
                }
                Err(e) if e.is_damage() || e.is_not_found() => {
                    repairs.push(format!("{e}: producer state is taken from the batches"));
                    snapshots.remove(self.home, at)?;
                }
                Err(e) => return Err(e),
            }
        }
        self.replay(&mut states, offset)?;
        states.set_end_offset(offset);
        Ok(states)
    }

    fn replay(&self, states: &mut ProducerStates, offset: i64) -> Result<(), StorageError> {
        let from = states.end_offset();
        if from >= offset || self.segments.is_empty() {
            return Ok(());
        }
        let concerned = self.segments[floor(self.segments, from)..].iter();
        for segment in concerned.take_while(|segment| segment.base_offset() < offset) {
            let size = segment.size();
            let start = if size == 0 { None } else { segment.locate(from, size)? };
            let Some(start) = start else { continue };
            segment.for_each_header(start.position, |batch| {
                if batch.last_offset >= offset {
                    return Ok(ControlFlow::Break(()));
                }
                if batch.base_offset >= from && batch.header.is_some_and(|header| header.has_producer_id()) {
                    let marker = self.marker(segment, batch)?;
                    replay(states, batch, marker);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }

    fn marker(&self, segment: &Segment, batch: &BatchEntry) -> Result<Option<EndMarker>, StorageError> {
        let Some(header) = batch.header.filter(|header| header.attributes.is_control()) else {
            return Ok(None);
        };
        let bytes = segment.read_batch(batch)?;
        Ok(EndMarker::parse(&header, &bytes[klamm_records::BatchHeader::SIZE..]))
    }
}
