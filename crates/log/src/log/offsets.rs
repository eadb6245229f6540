//! Looking offsets up by timestamp, for ListOffsets.

use super::Log;
use crate::error::StorageError;
use crate::segment::RecordPosition;

impl Log {
    /// The first record whose timestamp is at least `timestamp`.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<RecordPosition>, StorageError> {
        let start = self.log_start_offset();
        let segments = self.segments.load_full();
        for segment in segments.iter().filter(|segment| segment.end().0 > start) {
            if segment.max_timestamp()?.timestamp >= timestamp {
                let found = segment.find_timestamp(timestamp, start)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp of all.
    pub fn max_timestamp_record(&self) -> Result<Option<RecordPosition>, StorageError> {
        let segments = self.segments.load_full();
        let mut largest = None;
        for segment in segments.iter() {
            let timestamp = segment.max_timestamp()?.timestamp;
            if timestamp >= 0 && largest.is_none_or(|(most, _)| timestamp > most) {
                largest = Some((timestamp, segment));
            }
        }
        match largest {
            Some((_, segment)) => segment.find_max_timestamp(),
            None => Ok(None),
        }
    }

    /// The epoch of the log's first record, if it is known from the log start on.
    pub fn earliest_epoch(&self) -> Option<i32> {
        let earliest = self.epochs.read().earliest()?;
        (earliest.start_offset <= self.log_start_offset()).then_some(earliest.epoch)
    }
}
