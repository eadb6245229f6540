//! Control records: what brokers and controllers write into logs beside the users' records.

use thiserror::Error;

use crate::{AcceptedBatch, BatchBuilder, NO_SEQUENCE, NewRecord, Record};

/// What a control record says: the int16 after the version in its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlType {
    /// End of a transaction whose records count for nothing.
    Abort,
    /// End of a transaction whose records count.
    Commit,
    /// A KRaft leader begins its epoch.
    LeaderChange,
    /// Begin of a metadata snapshot.
    SnapshotHeader,
    /// End of a metadata snapshot.
    SnapshotFooter,
    /// The finalized `kraft.version` (KIP-853).
    KRaftVersion,
    /// The voters (KIP-853).
    KRaftVoters,
    /// One that is not known here and is to be passed over.
    Unknown(i16),
}

/// Why a record is no valid control record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ControlError {
    /// The key is missing or too short.
    #[error("control record key has fewer than four bytes")]
    Key,
    /// A version below 0.
    #[error("control record has the invalid version {0}")]
    Version(i16),
    /// The record is no end of a transaction, or its value is too short for one.
    #[error("control record is no end of a transaction")]
    NoMarker,
}

impl ControlType {
    /// The type of a record of a control batch. Versions above 0 are read as version 0.
    pub fn of(record: &Record<'_>) -> Result<Self, ControlError> {
        let key = record.key.and_then(|key| key.first_chunk::<4>()).ok_or(ControlError::Key)?;
        let version = i16::from_be_bytes([key[0], key[1]]);
        if version < 0 {
            return Err(ControlError::Version(version));
        }
        Ok(Self::from_id(i16::from_be_bytes([key[2], key[3]])))
    }

    /// The key of a control record of this type.
    pub fn key(self) -> [u8; 4] {
        let [high, low] = self.id().to_be_bytes();
        [0, 0, high, low]
    }

    /// The number of the type.
    pub fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KRaftVersion => 5,
            Self::KRaftVoters => 6,
            Self::Unknown(id) => id,
        }
    }

    /// The type of this number.
    pub fn from_id(id: i16) -> Self {
        match id {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            id => Self::Unknown(id),
        }
    }
}

/// The end of a producer's transaction on a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Whether the transaction's records count.
    pub committed: bool,
    /// Epoch of the transaction coordinator that ends it.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// Reads a marker; other control records are [`ControlError::NoMarker`].
    pub fn parse(record: &Record<'_>) -> Result<Self, ControlError> {
        let committed = match ControlType::of(record)? {
            ControlType::Commit => true,
            ControlType::Abort => false,
            _ => return Err(ControlError::NoMarker),
        };
        let value = record.value.and_then(|value| value.first_chunk::<6>()).ok_or(ControlError::NoMarker)?;
        let version = i16::from_be_bytes([value[0], value[1]]);
        if version < 0 {
            return Err(ControlError::Version(version));
        }
        let coordinator_epoch = i32::from_be_bytes([value[2], value[3], value[4], value[5]]);
        Ok(Self { committed, coordinator_epoch })
    }

    /// Which control record it is.
    pub fn control_type(&self) -> ControlType {
        if self.committed { ControlType::Commit } else { ControlType::Abort }
    }

    /// The batch that ends the transaction of this producer, stamped with the time in milliseconds.
    pub fn to_batch(&self, producer_id: i64, producer_epoch: i16, now_ms: i64) -> AcceptedBatch<'static> {
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let key = self.control_type().key();
        let mut builder = BatchBuilder::new(0)
            .producer(producer_id, producer_epoch, NO_SEQUENCE)
            .transactional(true)
            .control(true);
        builder.append(&NewRecord { timestamp: now_ms, key: Some(&key), value: Some(&value), headers: &[] });
        builder.finish()
    }
}
