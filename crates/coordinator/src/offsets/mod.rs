//! Committed offsets.
//!
//! An offset belongs to a group, a topic and a partition, and is a record of its own in the log; the last one counts. An
//! offset committed within a transaction waits aside until the transaction's marker says whether it counts, and then
//! counts only if nothing later in the log has taken its place.
//!
//! Invariants: no map is kept empty; every offset that waits aside is in the index of open transactions, and the
//! reverse.

mod commit;
mod delete;
mod expiry;
mod fetch;
mod store;
mod transactions;

pub(crate) use commit::{CommitCheck, refuse_commit};
pub(crate) use expiry::{DeletedTopic, Expiry, ExpiryClock, Scan, Tombstones};
pub(crate) use store::CommittedOffset;
pub(crate) use transactions::Offsets;
