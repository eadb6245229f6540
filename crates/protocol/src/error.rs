//! Why bytes could not be decoded, or a message not be encoded.

use std::fmt;

use crate::{Reader, VersionRange};

/// Why bytes are no message: what is wrong, where, and while reading which message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    kind: DecodeErrorKind,
    position: usize,
    message: Option<(&'static str, i16)>,
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// A value or length reaches past the end.
    #[error("{needed} bytes expected, {remaining} remain")]
    Truncated {
        /// How many bytes the value takes; for an array, at least.
        needed: usize,
        /// How many there are.
        remaining: usize,
    },
    /// A variable-length number that does not end, or holds more bits than its type.
    #[error("a variable-length number is too long")]
    VarintTooLong,
    /// A string that is not UTF-8.
    #[error("a string is not valid UTF-8")]
    InvalidUtf8,
    /// A null where none may be.
    #[error("null where none is allowed")]
    UnexpectedNull,
    /// More elements than an array may have.
    #[error("an array of {0} elements")]
    ArrayTooLong(usize),
    /// More tagged fields than a section may have.
    #[error("{0} tagged fields")]
    TooManyTaggedFields(u32),
    /// The decoded message would be out of proportion to its bytes.
    #[error("too much memory for so few bytes")]
    TooMuchMemory,
    /// A version that the message does not have.
    #[error("unknown version {version}, supported are {supported}")]
    UnknownVersion {
        /// The version asked for.
        version: i16,
        /// The versions there are.
        supported: VersionRange,
    },
    /// A number that names no request.
    #[error("unknown API key {0}")]
    UnknownApiKey(i16),
    /// A number that names no record of this kind.
    #[error("unknown record type {0}")]
    UnknownRecord(i16),
    /// The frame around a stored record has a version unknown here.
    #[error("unknown frame version {0}")]
    UnknownFrameVersion(u32),
    /// Bytes follow where the value should have ended.
    #[error("{0} bytes too many")]
    TrailingBytes(usize),
}

impl DecodeError {
    #[cold]
    pub(crate) fn new(r: &Reader<'_>, kind: DecodeErrorKind) -> Self {
        Self { kind, position: r.position(), message: None }
    }

    /// Names the message; the innermost name stays.
    #[cold]
    pub(crate) fn within(self, message: &'static str, version: i16) -> Self {
        Self { message: self.message.or(Some((message, version))), ..self }
    }

    /// What is wrong.
    pub fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// Where: bytes from the start of what the [`Reader`] was given.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The message that was read, and its version, if reading one had begun.
    pub fn message(&self) -> Option<(&'static str, i16)> {
        self.message
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((message, version)) = self.message {
            write!(f, "{message} version {version}, ")?;
        }
        write!(f, "byte {}: {}", self.position, self.kind)
    }
}

impl std::error::Error for DecodeError {}

/// Why a message cannot be written in a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message does not have the version at all.
    #[error("{message} has no version {version}, only {supported}")]
    UnknownVersion {
        /// The message.
        message: &'static str,
        /// The version asked for.
        version: i16,
        /// The versions there are.
        supported: VersionRange,
    },
    /// A field is set that the version cannot carry, and that must not get lost.
    #[error("{message} version {version} cannot carry {field}")]
    UnsupportedVersion {
        /// The message.
        message: &'static str,
        /// Kafka's name of the field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field is null that may not be, in this version or at all.
    #[error("{field} of {message} may not be null")]
    UnexpectedNull {
        /// The message.
        message: &'static str,
        /// Kafka's name of the field.
        field: &'static str,
    },
    /// A value is longer than its length prefix can say.
    #[error("{what} of length {length} is too long")]
    TooLong {
        /// The type of value.
        what: &'static str,
        /// Its length, in bytes or elements.
        length: usize,
    },
}

impl EncodeError {
    #[cold]
    pub(crate) fn unsupported(message: &'static str, field: &'static str, version: i16) -> Self {
        Self::UnsupportedVersion { message, field, version }
    }
}
