//! Kafka's settings: one table (`table`), from which all else derives: parsing and validation, layered lookup, typed
//! snapshots, DescribeConfigs views, checks of changes, and the documentation.
//!
//! The way of a value: a file and the command line (`load`) → `Layers` → `BrokerConfig`, `TopicConfig`, `NodeConfig`.
//! Nothing behind `Layers` ever meets a value that is not valid.

mod broker_config;
mod conflict;
mod layers;
mod names;
mod node_config;
mod snapshot;
#[cfg(test)]
mod snapshot_tests;
mod topic_config;

pub mod alter;
pub mod describe;
pub mod endpoint;
pub mod load;
pub mod properties;
pub mod reference;
pub mod setting;
pub mod table;
pub mod validity;
pub mod value;

pub use broker_config::BrokerConfig;
pub use conflict::Conflict;
pub use layers::{Layers, Source, Values};
pub use names::{Name, classify};
pub use node_config::{Listener, NodeConfig, Roles, SecurityProtocol};
pub use topic_config::{CleanupPolicy, CompressionType, MessageTimestampType, TopicConfig, TopicConfigError};
