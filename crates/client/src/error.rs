//! Errors of talking to brokers. What a single operation can say beyond that stands with the operation.

use std::fmt;
use std::sync::Arc;

use klamm_protocol::{ApiKey, DecodeError, EncodeError, ErrorCode};

/// A broker as a person would name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BrokerName {
    /// The broker's id; a bootstrap server's is not known.
    pub id: Option<i32>,
    /// Host name or address.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
}

impl fmt::Display for BrokerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")?
        } else {
            write!(f, "{host}:{port}")?
        }
        id.map_or(Ok(()), |id| write!(f, " (broker {id})"))
    }
}

/// Why there is no connection to a broker.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// The socket could not be opened.
    #[error("cannot connect to {broker}: {source}")]
    Dial {
        /// Whom.
        broker: BrokerName,
        /// The system's answer.
        source: Arc<std::io::Error>,
    },
    /// The broker did not answer in time.
    #[error("cannot connect to {broker} within {after_ms} ms")]
    TimedOut {
        /// Whom.
        broker: BrokerName,
        /// `socket.connection.setup.timeout.ms`.
        after_ms: u64,
    },
    /// The broker ended the connection before it said what it supports: it is stopping, or not yet ready.
    #[error("{broker} closed the connection at once")]
    Closed {
        /// Whom.
        broker: BrokerName,
    },
    /// What answered does not speak Kafka's protocol, or not with us.
    #[error("{broker} does not agree on a protocol version: {reason}")]
    Negotiation {
        /// Whom.
        broker: BrokerName,
        /// What went wrong.
        reason: String,
    },
    /// The controllers have no leader.
    #[error("the metadata quorum has no leader at the moment")]
    NoController,
    /// No broker is known under this id.
    #[error("broker {id} is not in the cluster")]
    UnknownBroker {
        /// The id.
        id: i32,
    },
}

/// Why a request has no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequestError {
    /// There is no connection to send it over.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection ended before the answer came. The request may have been carried out.
    #[error("{broker} closed the connection before it answered {}", api.name())]
    Disconnected {
        /// Whom.
        broker: BrokerName,
        /// The request.
        api: ApiKey,
    },
    /// No answer within `request.timeout.ms`. The request may have been carried out.
    #[error("{broker} did not answer {} within {after_ms} ms", api.name())]
    TimedOut {
        /// Whom.
        broker: BrokerName,
        /// The request.
        api: ApiKey,
        /// The patience it had.
        after_ms: u64,
    },
    /// Broker and client have no version of this request in common.
    #[error("{broker} does not support {} in a version this client speaks", api.name())]
    Unsupported {
        /// Whom.
        broker: BrokerName,
        /// The request.
        api: ApiKey,
    },
    /// The request cannot be expressed in the version the broker speaks.
    #[error("{} cannot be sent to {broker}: {source}", api.name())]
    Encode {
        /// Whom.
        broker: BrokerName,
        /// The request.
        api: ApiKey,
        /// Why.
        source: EncodeError,
    },
    /// The answer is malformed.
    #[error("{broker} answered {} with something unreadable: {source}", api.name())]
    Decode {
        /// Whom.
        broker: BrokerName,
        /// The request.
        api: ApiKey,
        /// Why.
        source: DecodeError,
    },
    /// The broker refused the request as a whole.
    #[error("{broker} answered {} with {code}", api.name())]
    Refused {
        /// Whom.
        broker: BrokerName,
        /// The request.
        api: ApiKey,
        /// The broker's answer.
        code: ErrorCode,
    },
}

impl RequestError {
    /// Whether the same request may succeed later, perhaps with another broker.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect(ConnectError::Negotiation { .. }) => false,
            Self::Connect(_) | Self::Disconnected { .. } | Self::TimedOut { .. } => true,
            Self::Refused { code, .. } => code.is_retriable(),
            Self::Unsupported { .. } | Self::Encode { .. } | Self::Decode { .. } => false,
        }
    }
}
