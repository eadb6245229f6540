//! Records of the coordinators' topics: `__consumer_offsets`, `__transaction_state`, `__share_group_state`.
//!
//! A record's key is an int16 number that says which record this is, then the key's fields. Its value is an
//! int16 version, then the value's fields; which ones, the key says. A null value is a tombstone.

use crate::{
    Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Message, Reader, VersionRange, Writer,
    messages::*,
};

include!(concat!(env!("OUT_DIR"), "/group-records-enums.rs"));
include!(concat!(env!("OUT_DIR"), "/transaction-records-enums.rs"));
include!(concat!(env!("OUT_DIR"), "/share-records-enums.rs"));

macro_rules! key_codec {
    ($($key:ident),*) => {$(
        impl<'a> $key<'a> {
            /// From a record's key. A number unknown here is
            /// [`UnknownRecord`](DecodeErrorKind::UnknownRecord): a newer broker may have written it.
            pub fn decode(key: &'a [u8]) -> Result<Self, DecodeError> {
                let mut r = Reader::new(key);
                let number = r.i16()?;
                Self::decode_body(number, KEY_VERSION, &mut r)
            }

            /// Appends the record's key.
            pub fn encode(&self, w: &mut Writer) -> Result<(), EncodeError> {
                w.i16(self.key());
                self.encode_body(w, KEY_VERSION)
            }

            /// The record's key.
            pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
                let mut w = Writer::new();
                self.encode(&mut w)?;
                Ok(w.into_bytes())
            }
        }
    )*};
}

macro_rules! value_codec {
    ($($value:ty),*) => {$(
        impl<'a> $value {
            /// From the value of a record whose key has this number.
            pub fn decode(key: i16, value: &'a [u8]) -> Result<Self, DecodeError> {
                Self::decode_versioned(key, value).map(|(value, _)| value)
            }

            /// The same, with the version it was written in.
            pub fn decode_versioned(key: i16, value: &'a [u8]) -> Result<(Self, i16), DecodeError> {
                let mut r = Reader::new(value);
                let version = r.i16()?;
                Ok((Self::decode_body(key, version, &mut r)?, version))
            }

            /// Appends the record's value in `version`, one of [`versions`](Self::versions).
            pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
                w.i16(version);
                self.encode_body(w, version)
            }

            /// The record's value in `version`.
            pub fn to_bytes(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
                let mut w = Writer::new();
                self.encode(&mut w, version)?;
                Ok(w.into_bytes())
            }
        }
    )*};
}

/// Keys never change: one that is read differently would be another key to compaction.
const KEY_VERSION: i16 = 0;

key_codec!(GroupKey, TransactionKey, ShareKey);
value_codec!(GroupValue<'a>, TransactionValue<'a>, ShareValue);
