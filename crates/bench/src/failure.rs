//! What can end a run.

use std::io;

use klamm_protocol::frame::FrameSizeError;
use klamm_protocol::{DecodeError, EncodeError, ErrorCode};

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("a connection: {0}")]
    Connection(#[from] io::Error),
    #[error("an answer: {0}")]
    Decode(#[from] DecodeError),
    #[error("a request: {0}")]
    Encode(#[from] EncodeError),
    #[error("an answer: {0}")]
    Frame(#[from] FrameSizeError),
    #[error("{request} was refused: {code}")]
    Refused { request: &'static str, code: ErrorCode },
    #[error("{0}")]
    Other(String),
}

/// What most functions here return.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// For `map_err`: says what was being done.
    pub(crate) fn doing(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}

/// An error code of an answer, as a result.
pub(crate) fn accepted(request: &'static str, code: ErrorCode) -> Result<()> {
    match code {
        ErrorCode::NONE => Ok(()),
        code => Err(Failure::Refused { request, code }),
    }
}
