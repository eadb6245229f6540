//! Records of `__remote_log_metadata`: framed like metadata records, with keys of their own.

use crate::{
    Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Message, Reader, VersionRange, Writer,
    messages::*,
    metadata_record::{decode_framed, encode_frame},
};

include!(concat!(env!("OUT_DIR"), "/remote-log-records-enums.rs"));

impl<'a> RemoteLogRecord<'a> {
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
