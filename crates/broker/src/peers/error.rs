//! Why another node did not answer.

use std::fmt;
use std::io;

use klamm_protocol::{ApiKey, DecodeError, EncodeError};

/// Where another node is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PeerAddress {
    /// Host name or address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Why a request to another node has no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// Nobody listens there: the process is gone, or not there yet.
    #[error("{peer} refuses connections")]
    Refused {
        /// Whom.
        peer: PeerAddress,
    },
    /// The connection was closed or reset before the answer came. The request may have been carried out.
    #[error("{peer} closed the connection: {source}")]
    Disconnected {
        /// Whom.
        peer: PeerAddress,
        /// How it ended.
        source: io::Error,
    },
    /// There is no way to it: its name is not known, or the network does not lead there.
    #[error("{peer} cannot be reached: {source}")]
    Unreachable {
        /// Whom.
        peer: PeerAddress,
        /// Why.
        source: io::Error,
    },
    /// No answer in time. The request may have been carried out.
    #[error("{peer} did not answer within {after_ms} ms")]
    TimedOut {
        /// Whom.
        peer: PeerAddress,
        /// The patience there was.
        after_ms: u64,
    },
    /// The two have no version of this request in common.
    #[error("{peer} has no version of {api} that is known here")]
    Unsupported {
        /// Whom.
        peer: PeerAddress,
        /// The request.
        api: ApiKey,
    },
    /// The request cannot be expressed in the version that both know.
    #[error("{api} cannot be sent to {peer}: {source}")]
    Encode {
        /// Whom.
        peer: PeerAddress,
        /// The request.
        api: ApiKey,
        /// Why.
        source: EncodeError,
    },
    /// What came back is no answer to this request.
    #[error("{peer} answered {api} with something unreadable: {reason}")]
    Unreadable {
        /// Whom.
        peer: PeerAddress,
        /// The request.
        api: ApiKey,
        /// What is wrong with it.
        reason: Unreadable,
    },
}

/// What can be wrong with an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Its length prefix is impossible.
    #[error(transparent)]
    Frame(#[from] klamm_net::FrameError),
    /// Its header or body cannot be decoded.
    #[error(transparent)]
    Body(#[from] DecodeError),
    /// It answers another request.
    #[error("it answers request {found}, not {expected}")]
    Correlation {
        /// The id that was sent.
        expected: i32,
        /// The id that came back.
        found: i32,
    },
    /// It refuses to say which versions it has.
    #[error("it refuses with {0}")]
    Refusal(klamm_protocol::ErrorCode),
}
