//! Records of `__consumer_offsets`, as this crate writes them.

use klamm_protocol::coordinator_record::{GroupKey, GroupValue};
use klamm_protocol::messages::{GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue};
use klamm_protocol::{EncodeError, Writer};

/// The version of a committed offset without an expiry time of its own.
const OFFSET_VERSION: i16 = 4;
/// The only version that has room for an expiry time.
const EXPIRING_OFFSET_VERSION: i16 = 1;
const GROUP_METADATA_VERSION: i16 = 3;

/// One record to append. A record without a value is a tombstone: it takes back what its key said.
#[derive(Debug, Clone, PartialEq)]
pub struct CoordinatorRecord<'a> {
    /// What the record is about.
    pub key: GroupKey<'a>,
    /// What it says about it.
    pub value: Option<GroupValue<'a>>,
}

impl<'a> CoordinatorRecord<'a> {
    pub(crate) fn offset(
        group: &'a str,
        topic: &'a str,
        partition: i32,
        value: OffsetCommitValue<'a>,
    ) -> Self {
        let key = OffsetCommitKey { group: group.into(), topic: topic.into(), partition };
        Self { key: key.into(), value: Some(value.into()) }
    }

    pub(crate) fn offset_tombstone(group: &str, topic: &str, partition: i32) -> CoordinatorRecord<'static> {
        let key =
            OffsetCommitKey { group: group.to_owned().into(), topic: topic.to_owned().into(), partition };
        CoordinatorRecord::tombstone(key.into())
    }

    pub(crate) fn group(group: &str, value: GroupMetadataValue<'static>) -> CoordinatorRecord<'static> {
        let key = GroupMetadataKey { group: group.to_owned().into() };
        CoordinatorRecord { key: key.into(), value: Some(value.into()) }
    }

    pub(crate) fn group_tombstone(group: &str) -> CoordinatorRecord<'static> {
        CoordinatorRecord::tombstone(GroupMetadataKey { group: group.to_owned().into() }.into())
    }

    pub(crate) fn tombstone(key: GroupKey<'static>) -> CoordinatorRecord<'static> {
        CoordinatorRecord { key, value: None }
    }

    /// Appends the record's key as it is stored.
    ///
    /// # Errors
    /// If a name is longer than the format can say.
    pub fn encode_key(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.key.encode(writer)
    }

    /// Appends the record's value as it is stored, and says whether there is one.
    ///
    /// # Errors
    /// If a string is longer than the format can say.
    pub fn encode_value(&self, writer: &mut Writer) -> Result<bool, EncodeError> {
        let Some(value) = &self.value else { return Ok(false) };
        value.encode(writer, value_version(value))?;
        Ok(true)
    }
}

/// The version in which Kafka 4.4 writes a value, whatever the metadata version.
fn value_version(value: &GroupValue<'_>) -> i16 {
    match value {
        GroupValue::OffsetCommit(offset) if offset.expire_timestamp != -1 => EXPIRING_OFFSET_VERSION,
        GroupValue::OffsetCommit(_) => OFFSET_VERSION,
        GroupValue::GroupMetadata(_) => GROUP_METADATA_VERSION,
        other => other.versions().max,
    }
}
