//! What the machine knows of the metadata log: where it begins and ends, and where each epoch begins in it. The bytes are the driver's.
//!
//! Invariants: epochs and their start offsets both rise; `start ≤ high watermark ≤ end` and `flushed ≤ end`.

use klamm_metadata::snapshot::SnapshotId;

/// An offset, and the epoch of the record before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffsetAndEpoch {
    /// The offset.
    pub offset: i64,
    /// The epoch.
    pub epoch: i32,
}

/// Logs compare by last epoch first, then by length.
impl Ord for OffsetAndEpoch {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.epoch, self.offset).cmp(&(other.epoch, other.offset))
    }
}

impl PartialOrd for OffsetAndEpoch {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Where an epoch begins in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The leader epoch.
    pub epoch: i32,
    /// Offset of its first record.
    pub offset: i64,
}

/// Shape of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// First offset still in the log.
    pub start_offset: i64,
    /// Offset the next record gets.
    pub end_offset: i64,
    /// Everything before it survives a crash.
    pub flushed_offset: i64,
    /// Where each epoch begins, oldest first.
    pub epochs: Vec<EpochStart>,
    /// The newest snapshot.
    pub latest_snapshot: Option<SnapshotId>,
    /// The oldest snapshot, which the log begins after.
    pub earliest_snapshot: Option<SnapshotId>,
}

/// How a replica that fetches from `offset`, having last fetched `epoch`, stands to this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchPosition {
    /// It holds a prefix of this log.
    Valid,
    /// It has to truncate to here and try again.
    Diverging(OffsetAndEpoch),
    /// It has to load this snapshot first.
    Snapshot(SnapshotId),
}

impl LogState {
    /// The log's end with the epoch of its last record.
    pub fn end(&self) -> OffsetAndEpoch {
        OffsetAndEpoch { offset: self.end_offset, epoch: self.last_epoch() }
    }

    /// The epoch of the last record, or of the snapshot the log begins after; 0 in an empty log.
    pub fn last_epoch(&self) -> i32 {
        let snapshot = self.latest_snapshot.map_or(0, |snapshot| snapshot.epoch);
        self.epochs.last().map_or(snapshot, |last| last.epoch)
    }

    /// Accounts for records appended at the end.
    pub fn append(&mut self, epoch: i32, count: i64) {
        if self.epochs.last().is_none_or(|last| last.epoch < epoch) {
            self.epochs.push(EpochStart { epoch, offset: self.end_offset });
        }
        self.end_offset += count;
    }

    /// Accounts for records removed from `offset` on.
    pub fn truncate(&mut self, offset: i64) {
        self.epochs.retain(|start| start.offset < offset);
        self.end_offset = self.end_offset.min(offset);
        self.flushed_offset = self.flushed_offset.min(offset);
    }

    /// Accounts for a snapshot taken, after which the log may be cut at its front.
    pub fn add_snapshot(&mut self, snapshot: SnapshotId) {
        self.latest_snapshot = self.latest_snapshot.max(Some(snapshot));
        self.earliest_snapshot.get_or_insert(snapshot);
    }

    /// Accounts for records before `offset` being deleted; a snapshot holds them.
    pub fn cut_front(&mut self, offset: i64) {
        let kept = self.epochs.partition_point(|start| start.offset <= offset).saturating_sub(1);
        self.epochs.drain(..kept);
        if let Some(first) = self.epochs.first_mut() {
            first.offset = first.offset.max(offset);
        }
        self.start_offset = offset;
        self.earliest_snapshot = self.latest_snapshot.filter(|id| id.end_offset >= offset);
    }

    /// Accounts for the log being replaced by a snapshot that ends beyond it.
    pub fn replace_by(&mut self, snapshot: SnapshotId) {
        self.start_offset = snapshot.end_offset;
        self.end_offset = snapshot.end_offset;
        self.flushed_offset = snapshot.end_offset;
        self.epochs.clear();
        self.latest_snapshot = Some(snapshot);
        self.earliest_snapshot = Some(snapshot);
    }

    /// Where `epoch`, or the newest one before it, ends in this log.
    pub fn end_of_epoch(&self, epoch: i32) -> OffsetAndEpoch {
        let next = self.epochs.partition_point(|start| start.epoch <= epoch);
        let end = self.epochs.get(next).map_or(self.end_offset, |start| start.offset);
        match next.checked_sub(1) {
            Some(index) => OffsetAndEpoch { offset: end, epoch: self.epochs[index].epoch },
            None => match self.earliest_snapshot {
                Some(id) if id.epoch == epoch => OffsetAndEpoch { offset: id.end_offset, epoch },
                // Where the log begins with a snapshot, what is before it ends with that, and in its epoch.
                Some(id) if id.epoch < epoch && id.end_offset == self.start_offset => {
                    OffsetAndEpoch { offset: id.end_offset, epoch: id.epoch }
                }
                _ => OffsetAndEpoch { offset: self.start_offset, epoch: 0 },
            },
        }
    }

    /// Compares a fetching replica's log with this one.
    pub fn fetch_position(&self, offset: i64, last_fetched_epoch: i32) -> FetchPosition {
        match self.latest_snapshot {
            Some(latest) if offset == 0 && latest != SnapshotId::BOOTSTRAP => {
                return FetchPosition::Snapshot(latest);
            }
            _ => {}
        }
        if self.start_offset == 0 && offset == 0 && last_fetched_epoch == 0 {
            return FetchPosition::Valid;
        }
        if let (Some(earliest), Some(latest)) = (self.earliest_snapshot, self.latest_snapshot) {
            let before_log = offset < self.start_offset
                || offset == self.start_offset && last_fetched_epoch != earliest.epoch
                || last_fetched_epoch < earliest.epoch;
            if before_log {
                return FetchPosition::Snapshot(latest);
            }
        }
        let end = self.end_of_epoch(last_fetched_epoch);
        if end.epoch != last_fetched_epoch || end.offset < offset {
            return FetchPosition::Diverging(end);
        }
        FetchPosition::Valid
    }

    /// Panics where the module's invariants do not hold; for tests and simulation.
    pub fn check_invariants(&self) {
        assert!(self.start_offset <= self.end_offset, "{self:?}");
        assert!(self.flushed_offset <= self.end_offset, "{self:?}");
        let rising = |pair: &[EpochStart]| pair[0].epoch < pair[1].epoch && pair[0].offset < pair[1].offset;
        assert!(self.epochs.windows(2).all(rising), "{self:?}");
        assert!(self.earliest_snapshot <= self.latest_snapshot, "{self:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(start_offset: i64, end_offset: i64, epochs: &[(i32, i64)]) -> LogState {
        let epochs = epochs.iter().map(|&(epoch, offset)| EpochStart { epoch, offset }).collect();
        LogState { start_offset, end_offset, flushed_offset: end_offset, epochs, ..LogState::default() }
    }

    #[test]
    fn fetch_positions() {
        let diverging = |offset, epoch| FetchPosition::Diverging(OffsetAndEpoch { offset, epoch });
        let whole = log(0, 30, &[(1, 0), (3, 10), (4, 20)]);
        let cases = [
            (0, 0, FetchPosition::Valid),
            (5, 1, FetchPosition::Valid),
            (10, 1, FetchPosition::Valid),
            (11, 1, diverging(10, 1)),
            (15, 2, diverging(10, 1)),
            (30, 4, FetchPosition::Valid),
            (31, 4, diverging(30, 4)),
            (31, 5, diverging(30, 4)),
            (4, 0, diverging(0, 0)),
        ];
        for (offset, epoch, expected) in cases {
            assert_eq!(whole.fetch_position(offset, epoch), expected, "{offset} in epoch {epoch}");
        }
    }

    #[test]
    fn a_snapshot_stands_in_for_what_the_log_lost() {
        let id = SnapshotId { end_offset: 10, epoch: 1 };
        let mut cut = log(10, 30, &[(3, 10), (4, 20)]);
        cut.add_snapshot(id);
        let cases = [
            (0, 0, FetchPosition::Snapshot(id)),
            (9, 1, FetchPosition::Snapshot(id)),
            (10, 1, FetchPosition::Valid),
            (10, 3, FetchPosition::Snapshot(id)),
            (15, 3, FetchPosition::Valid),
        ];
        for (offset, epoch, expected) in cases {
            assert_eq!(cut.fetch_position(offset, epoch), expected, "{offset} in epoch {epoch}");
        }
    }

    #[test]
    fn an_empty_follower_gets_a_snapshot_though_the_log_is_whole() {
        let mut whole = log(0, 30, &[(1, 0)]);
        whole.add_snapshot(SnapshotId::BOOTSTRAP);
        assert_eq!(whole.fetch_position(0, 0), FetchPosition::Valid);
        let id = SnapshotId { end_offset: 20, epoch: 1 };
        whole.add_snapshot(id);
        assert_eq!(whole.fetch_position(0, 0), FetchPosition::Snapshot(id));
    }

    #[test]
    fn truncation_forgets_epochs() {
        let mut log = log(0, 30, &[(1, 0), (3, 10), (4, 20)]);
        log.truncate(10);
        assert_eq!(log.end(), OffsetAndEpoch { offset: 10, epoch: 1 });
        log.append(5, 2);
        assert_eq!(log.end(), OffsetAndEpoch { offset: 12, epoch: 5 });
        log.check_invariants();
    }

    /// What a leader wrote alone begins where the snapshot ends that the present leader's log begins with.
    #[test]
    fn a_log_parts_from_one_that_begins_with_a_snapshot_where_that_ends() {
        let snapshot = Some(SnapshotId { end_offset: 10, epoch: 4 });
        let log = LogState {
            start_offset: 10,
            end_offset: 12,
            flushed_offset: 12,
            epochs: vec![EpochStart { epoch: 7, offset: 10 }],
            latest_snapshot: snapshot,
            earliest_snapshot: snapshot,
        };
        assert_eq!(log.end_of_epoch(5), OffsetAndEpoch { offset: 10, epoch: 4 });
        assert_eq!(log.end_of_epoch(4), OffsetAndEpoch { offset: 10, epoch: 4 });
        assert_eq!(log.end_of_epoch(7), OffsetAndEpoch { offset: 12, epoch: 7 });
    }
}
