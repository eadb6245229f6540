//! Record batches inside a message.

use std::{borrow::Cow, fmt};

/// Record batches, as a message carries them. Their content is no business of this crate.
#[derive(Clone, PartialEq, Eq)]
pub enum Records<'a> {
    /// The bytes themselves. Decoding always yields these.
    Bytes(Cow<'a, [u8]>),
    /// Bytes that somebody else sends, this many. Encoding writes their length and leaves a
    /// [gap](crate::Writer::gaps) for them, so that they can go from a file to a socket directly.
    External(usize),
}

impl<'a> Records<'a> {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::External(len) => *len,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they are here.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::External(_) => None,
        }
    }

    /// The same, borrowing nothing.
    pub fn into_static(self) -> Records<'static> {
        match self {
            Self::Bytes(bytes) => Records::Bytes(Cow::Owned(bytes.into_owned())),
            Self::External(len) => Records::External(len),
        }
    }
}

/// How many bytes there are, not which: messages are logged, payloads are not.
impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Records({} bytes)", bytes.len()),
            Self::External(len) => write!(f, "Records({len} bytes elsewhere)"),
        }
    }
}

impl<'a> From<&'a [u8]> for Records<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for Records<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Cow::Owned(bytes))
    }
}
