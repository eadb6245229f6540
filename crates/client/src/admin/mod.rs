//! The admin client: one method an operation, each with its own retries.
//!
//! A method fails as a whole with an [`AdminError`] when no answer could be had; what the cluster refused item by
//! item stands beside the item as a [`Refusal`].

mod cluster;
mod configs;
mod groups;
mod log_dirs;
mod offsets;
mod partition_leaders;
mod partitions;
mod quorum;
mod reassignments;
mod topics;

use std::fmt;
use std::sync::Arc;

use klamm_protocol::ErrorCode;

pub use self::cluster::{
    ClusterDescription, ClusterNode, ElectionType, FeatureUpgrade, Features, ProducerState,
};
pub use self::configs::{
    AlterConfig, ConfigChange, ConfigEntry, ConfigResource, ConfigSource, ConfigSynonym, ResourceType,
};
pub use self::groups::{GroupDescription, GroupListing, GroupMember, GroupOffset};
pub use self::log_dirs::{LogDir, LogDirReplica};
pub use self::offsets::{ListedOffset, OffsetSpec};
pub use self::partitions::PartitionDescription;
pub use self::quorum::{Quorum, QuorumReplica};
pub use self::reassignments::Reassignment;
pub use self::topics::{CreatedTopic, NewPartitions, NewTopic};
use crate::cluster::Cluster;
use crate::config::AdminConfig;
use crate::error::RequestError;

/// What the cluster would not do, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// Kafka's error code.
    pub code: ErrorCode,
    /// What the broker says about it.
    pub message: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}

impl Refusal {
    /// `Ok` for the code that means so.
    fn check(code: ErrorCode, message: Option<impl AsRef<str>>) -> Result<(), Self> {
        if code.is_error() {
            let message = message.map(|message| message.as_ref().to_owned());
            Err(Self { code, message: message.filter(|message| !message.is_empty()) })
        } else {
            Ok(())
        }
    }
}

/// Why an operation has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AdminError {
    /// No broker could be asked.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The cluster refused it.
    #[error("{what}: {refusal}")]
    Refused {
        /// The thing it was about, such as ``topic `orders` ``.
        what: String,
        /// The answer.
        refusal: Refusal,
    },
}

impl AdminError {
    fn refused(what: impl Into<String>, refusal: Refusal) -> Self {
        Self::Refused { what: what.into(), refusal }
    }

    fn is_retriable(&self) -> bool {
        match self {
            Self::Request(error) => error.is_retriable(),
            Self::Refused { refusal, .. } => refusal.code.is_retriable(),
        }
    }
}

/// Items with what became of each.
pub type Outcomes<K, T> = Vec<(K, Result<T, Refusal>)>;

/// The admin client. Clones share connections.
#[derive(Clone)]
pub struct Admin {
    cluster: Arc<Cluster>,
}

impl Admin {
    /// A client for the cluster that `config` names. Connects when first needed.
    pub fn new(config: AdminConfig) -> Self {
        Self { cluster: Cluster::new(config.client) }
    }

    pub(crate) fn over(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }

    /// How long the broker may take over a change, in milliseconds.
    fn operation_timeout_ms(&self) -> i32 {
        i32::try_from(self.cluster.config().request_timeout_ms).unwrap_or(i32::MAX)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("servers", &self.cluster.config().bootstrap_servers).finish()
    }
}

fn owned(text: Option<std::borrow::Cow<'_, str>>) -> Option<String> {
    text.map(std::borrow::Cow::into_owned)
}
