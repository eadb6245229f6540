//! Every bound of the log, with what happens at it.

/// Bytes of one batch in a file. A longer one is taken for damage.
pub const BATCH_BYTES_MAX: u64 = i32::MAX as u64;

/// Bytes that a walk over headers reads at a time: a few small batches, or the front of a large one.
pub const SCAN_BYTES: usize = 4096;

/// Bytes that recovery reads at a time, unless a batch is larger.
pub const RECOVERY_READ_BYTES: u64 = 1 << 20;

/// Index entries of a segment that wait in memory before they are written in one go.
pub const INDEX_ENTRIES_PENDING_MAX: usize = 32;

/// Bytes of a checkpoint file or another small text file. A larger one is refused as damaged.
pub const CHECKPOINT_BYTES_MAX: u64 = 64 << 20;

/// Bytes of a producer snapshot. A larger one is refused as damaged and the state rebuilt from the log.
pub const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;

/// Aborted transactions that a read of one range collects. More leave the rest to the next read.
pub const INDEX_READ_BYTES: u64 = 64 << 20;

/// Batches of a producer that are remembered for finding repeated ones.
pub const PRODUCER_BATCHES_KEPT: usize = 5;

/// Bytes of compacted batches that wait in memory before they are written in one go.
pub const COMPACTION_WRITE_BYTES: usize = 1 << 20;
