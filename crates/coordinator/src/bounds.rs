//! The bounds of this crate that nobody can set, and what happens at each.

/// A new member whose JoinGroup waits longer than this is dropped with UNKNOWN_MEMBER_ID, because its connection may
/// be gone without a sign: it learns its member id only with the answer, so it cannot heartbeat before.
pub(crate) const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1_000;

/// One slice of a background scan (expired offsets, deleted topics) stops after this many bytes of record keys; the
/// next slice goes on where it stopped. It keeps every append far below `max.message.bytes` and every hold of the
/// shard's lock short.
pub(crate) const SCAN_SLICE_BYTES_MAX: usize = 256 * 1024;

/// One slice of a background scan looks at no more than this many groups.
pub(crate) const SCAN_SLICE_GROUPS_MAX: usize = 256;

/// A background scan whose append failed goes on after this long.
pub(crate) const SCAN_RETRY_MS: i64 = 10_000;
