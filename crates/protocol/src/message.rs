//! What all messages have in common.

use std::fmt;

use crate::{ApiKey, DecodeError, DecodeErrorKind, EncodeError, Reader, Writer};

/// A range of versions, ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    /// The oldest version.
    pub min: i16,
    /// The newest version.
    pub max: i16,
}

impl VersionRange {
    /// Whether `version` lies in the range.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The versions both ranges have, if any.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let both = Self { min: self.min.max(other.min), max: self.max.min(other.max) };
        (both.min <= both.max).then_some(both)
    }

    pub(crate) fn check_encode(self, message: &'static str, version: i16) -> Result<(), EncodeError> {
        match self.contains(version) {
            true => Ok(()),
            false => Err(EncodeError::UnknownVersion { message, version, supported: self }),
        }
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.min == self.max {
            true => write!(f, "{}", self.min),
            false => write!(f, "{}-{}", self.min, self.max),
        }
    }
}

/// A message: what has a name and versions of its own.
pub trait Message {
    /// Kafka's name, as in `FetchRequest`.
    const NAME: &'static str;
    /// The versions that can be decoded and encoded.
    const VERSIONS: VersionRange;
    /// Whether a version has compact lengths and tagged fields (KIP-482).
    fn is_flexible(version: i16) -> bool;
}

/// What can be read from bytes.
pub trait Decode<'a>: Sized {
    /// Reads one value in `version`, borrowing from the bytes. What follows it stays in the reader.
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError>;
}

/// What can be written as bytes.
pub trait Encode {
    /// Appends the value in `version`. After an error the writer holds a part of it and is of no more use.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// What can be detached from the bytes it was decoded from.
pub trait IntoStatic {
    /// The same type, borrowing nothing.
    type Static: 'static;
    /// Copies what is borrowed.
    fn into_static(self) -> Self::Static;
}

/// A request, and the response it is answered with.
///
/// The response's lifetime is that of the frame *it* is decoded from, which has nothing to do with what the
/// request borrows; hence a generic associated type. Code that is generic over requests gets an owned
/// response by `R::Response::decode(…)?.into_static()`, of type `R::Response<'static>`.
pub trait Request: Message + Encode {
    /// The number on the wire.
    const KEY: ApiKey;
    /// The response, borrowing from the frame it came in.
    type Response<'r>: Message + Encode + Decode<'r> + IntoStatic<Static = Self::Response<'static>> + Send;
}

/// Decodes a whole message: checks the version, and names the message in errors.
#[inline]
pub(crate) fn decode_message<'a, M: Message>(
    r: &mut Reader<'a>,
    version: i16,
    body: impl FnOnce(&mut Reader<'a>, i16) -> Result<M, DecodeError>,
) -> Result<M, DecodeError> {
    if !M::VERSIONS.contains(version) {
        let kind = DecodeErrorKind::UnknownVersion { version, supported: M::VERSIONS };
        return Err(DecodeError::new(r, kind).within(M::NAME, version));
    }
    body(r, version).map_err(|error| error.within(M::NAME, version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ErrorCode,
        messages::{ApiVersionsRequest, HeartbeatRequest, HeartbeatResponse},
    };

    /// What a client does with any request: the answer outlives the frame it came in.
    fn owned_answer<R: Request>(_request: &R, frame: &[u8], version: i16) -> R::Response<'static> {
        let mut r = Reader::new(frame);
        R::Response::decode(&mut r, version).expect("a response").into_static()
    }

    #[test]
    fn code_can_be_generic_over_requests() {
        let group = String::from("group");
        let request = HeartbeatRequest { group_id: group.as_str().into(), ..Default::default() };
        let error_code = ErrorCode::REBALANCE_IN_PROGRESS;
        let answer = owned_answer(&request, &[0, 27], 0);
        assert_eq!(answer, HeartbeatResponse { error_code, ..Default::default() });
        let versions = owned_answer(&ApiVersionsRequest::default(), &[0, 0, 0, 0, 0, 0], 0);
        assert_eq!(versions.api_keys, []);
    }

    #[test]
    fn unknown_versions_are_refused_both_ways() {
        let error = HeartbeatRequest::decode(&mut Reader::new(&[]), 5).expect_err("version 5");
        let text = "HeartbeatRequest version 5, byte 0: unknown version 5, supported are 0-4";
        assert_eq!(error.to_string(), text);
        let error = HeartbeatRequest::default().encode(&mut Writer::new(), -1).expect_err("version -1");
        assert_eq!(error.to_string(), "HeartbeatRequest has no version -1, only 0-4");
    }

    #[test]
    fn ranges_meet_where_both_hold() {
        let range = |min, max| VersionRange { min, max };
        let cases = [
            (range(0, 5), range(3, 9), Some(range(3, 5))),
            (range(0, 5), range(5, 5), Some(range(5, 5))),
            (range(0, 5), range(6, 9), None),
        ];
        for (one, other, both) in cases {
            assert_eq!(one.intersection(other), both);
            assert_eq!(other.intersection(one), both);
        }
    }
}
