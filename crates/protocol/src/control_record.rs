//! Control records: markers that a broker or the quorum puts into a log.
//!
//! The record's key is an int16 version and an int16 type. The value of a transaction marker begins with an
//! int16 version of its own; the quorum's records hold theirs as their first field.

use crate::{Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Reader, Writer, messages::*};

const KEY_VERSION: i16 = 0;
const MARKER_VERSION: i16 = 0;

/// Any control record.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlRecord {
    /// A transaction was aborted.
    Abort(EndTxnMarker),
    /// A transaction was committed.
    Commit(EndTxnMarker),
    /// A quorum leader begins its epoch.
    LeaderChange(LeaderChangeMessage),
    /// A snapshot begins.
    SnapshotHeader(SnapshotHeaderRecord),
    /// A snapshot ends.
    SnapshotFooter(SnapshotFooterRecord),
    /// The quorum's feature level.
    KRaftVersion(KRaftVersionRecord),
    /// The quorum's voters.
    Voters(VotersRecord<'static>),
}

impl ControlRecord {
    /// The type's number in the key.
    pub fn number(&self) -> i16 {
        match self {
            Self::Abort(_) => 0,
            Self::Commit(_) => 1,
            Self::LeaderChange(_) => 2,
            Self::SnapshotHeader(_) => 3,
            Self::SnapshotFooter(_) => 4,
            Self::KRaftVersion(_) => 5,
            Self::Voters(_) => 6,
        }
    }

    /// From a record's key and value. A type unknown here is
    /// [`UnknownRecord`](DecodeErrorKind::UnknownRecord).
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, DecodeError> {
        let number = decode_key(key)?;
        let mut r = Reader::new(value);
        Ok(match number {
            0 => Self::Abort(marker(&mut r)?),
            1 => Self::Commit(marker(&mut r)?),
            2 => Self::LeaderChange(own_version(&mut r)?),
            3 => Self::SnapshotHeader(own_version(&mut r)?),
            4 => Self::SnapshotFooter(own_version(&mut r)?),
            5 => Self::KRaftVersion(own_version(&mut r)?),
            6 => Self::Voters(own_version::<VotersRecord<'_>>(&mut r)?.into_static()),
            _ => return Err(DecodeError::new(&r, DecodeErrorKind::UnknownRecord(number))),
        })
    }

    /// The record's key.
    pub fn key_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.i16(KEY_VERSION);
        w.i16(self.number());
        w.into_bytes()
    }

    /// The record's value.
    pub fn value_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        match self {
            Self::Abort(marker) | Self::Commit(marker) => {
                w.i16(MARKER_VERSION);
                marker.encode(&mut w, MARKER_VERSION)?;
            }
            Self::LeaderChange(record) => record.encode(&mut w, record.version)?,
            Self::SnapshotHeader(record) => record.encode(&mut w, record.version)?,
            Self::SnapshotFooter(record) => record.encode(&mut w, record.version)?,
            Self::KRaftVersion(record) => record.encode(&mut w, record.version)?,
            Self::Voters(record) => record.encode(&mut w, record.version)?,
        }
        Ok(w.into_bytes())
    }
}

/// A control record's type, from its key.
pub fn decode_key(key: &[u8]) -> Result<i16, DecodeError> {
    let mut r = Reader::new(key);
    let version = r.i16()?;
    let record = ControlRecordTypeSchema::decode(&mut r, version.min(KEY_VERSION))?;
    Ok(record.r#type)
}

/// A transaction marker; newer versions begin like the one known here.
fn marker(r: &mut Reader<'_>) -> Result<EndTxnMarker, DecodeError> {
    let version = r.i16()?;
    EndTxnMarker::decode(r, version.min(MARKER_VERSION))
}

/// A record whose first field says its version.
fn own_version<'a, T: Decode<'a>>(r: &mut Reader<'a>) -> Result<T, DecodeError> {
    let version = r.clone().i16()?;
    T::decode(r, version)
}
