//! The topics that brokers keep their own state in.

/// Committed offsets and group metadata.
pub(crate) const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// Transactions.
pub(crate) const TRANSACTION_STATE: &str = "__transaction_state";
/// Share-group state.
pub(crate) const SHARE_GROUP_STATE: &str = "__share_group_state";

/// True for topics that clients may read but not write.
pub(crate) fn is_internal(name: &str) -> bool {
    matches!(name, CONSUMER_OFFSETS | TRANSACTION_STATE | SHARE_GROUP_STATE)
}

/// False for topics of coordinators that are not served yet: they would get the wrong partitions and settings.
pub(crate) fn may_be_created(name: &str) -> bool {
    !matches!(name, TRANSACTION_STATE | SHARE_GROUP_STATE)
}
