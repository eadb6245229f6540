//! Records of the metadata log and of its snapshots.
//!
//! A record's value is a frame (version 1), the record's key and version, all unsigned varints, then the
//! record itself. Its key, as a record of the log, is null.

use crate::{
    Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Message, Reader, VersionRange, Writer,
    messages::*,
};

const FRAME_VERSION: u32 = 1;

include!(concat!(env!("OUT_DIR"), "/metadata-records-enums.rs"));

impl<'a> MetadataRecord<'a> {
    /// From a record's value.
    pub fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode_versioned(value).map(|(record, _)| record)
    }

    /// The same, with the version it was written in.
    pub fn decode_versioned(value: &'a [u8]) -> Result<(Self, i16), DecodeError> {
        decode_framed(value, Self::decode_body)
    }

    /// Appends the record's value in `version`, one of [`versions`](Self::versions).
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        encode_frame(w, self.key(), version);
        self.encode_body(w, version)
    }

    /// The record's value in `version`.
    pub fn to_bytes(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        self.encode(&mut w, version)?;
        Ok(w.into_bytes())
    }
}

/// Reads the frame, then the record by its key and version, to the last byte.
pub(crate) fn decode_framed<'a, T>(
    value: &'a [u8],
    body: impl FnOnce(i16, i16, &mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<(T, i16), DecodeError> {
    let mut r = Reader::new(value);
    let frame = r.unsigned_varint()?;
    if frame != FRAME_VERSION {
        return Err(DecodeError::new(&r, DecodeErrorKind::UnknownFrameVersion(frame)));
    }
    let key = small_varint(&mut r)?;
    let version = small_varint(&mut r)?;
    let record = body(key, version, &mut r)?;
    r.finish()?;
    Ok((record, version))
}

pub(crate) fn encode_frame(w: &mut Writer, key: i16, version: i16) {
    w.unsigned_varint(FRAME_VERSION);
    w.unsigned_varint(u32::from(key.cast_unsigned()));
    w.unsigned_varint(u32::from(version.cast_unsigned()));
}

fn small_varint(r: &mut Reader<'_>) -> Result<i16, DecodeError> {
    let number = r.unsigned_varint()?;
    i16::try_from(number).map_err(|_| DecodeError::new(r, DecodeErrorKind::VarintTooLong))
}
