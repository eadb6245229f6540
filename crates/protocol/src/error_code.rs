//! Kafka's error codes.

use std::fmt;

/// An error code as it stands in responses. Unknown numbers are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ErrorCode(pub i16);

/// What a client can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// No error.
    Ok,
    /// Try again as is.
    Retriable,
    /// Look up the metadata (or the coordinator) again, then try again.
    Refresh,
    /// Abort the transaction first.
    Abortable,
    /// Start again with a new identity (KIP-1050).
    Recoverable,
    /// The set-up or the rights are wrong.
    Configuration,
    /// None of these.
    Fatal,
}

include!(concat!(env!("OUT_DIR"), "/error_codes.rs"));

impl ErrorCode {
    /// Kafka's name, unless the number is unknown.
    pub fn name(self) -> Option<&'static str> {
        self.entry().map(|(name, _)| *name)
    }

    /// The code of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        let index = ERRORS.iter().position(|(known, _)| *known == name)?;
        i16::try_from(index).ok().map(|index| Self(index - 1))
    }

    /// What a client can do about it. Unknown errors are fatal.
    pub fn class(self) -> ErrorClass {
        self.entry().map_or(ErrorClass::Fatal, |(_, class)| *class)
    }

    /// Whether this is an error.
    pub fn is_error(self) -> bool {
        self != Self::NONE
    }

    /// Whether the same request may succeed later, be it after looking up metadata again.
    pub fn is_retriable(self) -> bool {
        matches!(self.class(), ErrorClass::Retriable | ErrorClass::Refresh)
    }

    /// `Err` with this code, unless it is [`NONE`](Self::NONE).
    pub fn check(self) -> Result<(), Self> {
        if self.is_error() { Err(self) } else { Ok(()) }
    }

    /// The table begins at code -1.
    fn entry(self) -> Option<&'static (&'static str, ErrorClass)> {
        usize::try_from(i32::from(self.0) + 1).ok().and_then(|index| ERRORS.get(index))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error {}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ErrorCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_classes_belong_to_their_codes() {
        let cases = [
            (ErrorCode::UNKNOWN_SERVER_ERROR, -1, "UNKNOWN_SERVER_ERROR", ErrorClass::Fatal),
            (ErrorCode::NONE, 0, "NONE", ErrorClass::Ok),
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, 3, "UNKNOWN_TOPIC_OR_PARTITION", ErrorClass::Refresh),
            (ErrorCode::NOT_ENOUGH_REPLICAS, 19, "NOT_ENOUGH_REPLICAS", ErrorClass::Retriable),
            (ErrorCode(136), 136, "CONTROLLER_ID_NOT_REGISTERED", ErrorClass::Fatal),
        ];
        for (code, number, name, class) in cases {
            assert_eq!((code.0, code.name(), code.class()), (number, Some(name), class));
            assert_eq!(ErrorCode::from_name(name), Some(code));
        }
    }

    #[test]
    fn unknown_codes_are_kept() {
        for code in [ErrorCode(-2), ErrorCode(137), ErrorCode(i16::MAX), ErrorCode(i16::MIN)] {
            assert_eq!((code.name(), code.class()), (None, ErrorClass::Fatal));
            assert_eq!(code.to_string(), format!("error {}", code.0));
        }
        assert_eq!(ErrorCode::from_name("NO_SUCH_ERROR"), None);
    }
}
