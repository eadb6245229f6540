//! Kafka's settings: one table (`table`), from which all else derives: parsing and validation, layered lookup, typed
//! snapshots, DescribeConfigs views, checks of changes, and the documentation.
//!
//! The way of a value: a file and the command line (`load`) → `Layers` → `BrokerConfig`, `TopicConfig`, `NodeConfig`.
//! Nothing behind `Layers` ever meets a value that is not valid.

mod broker_config;
mod conflict;
mod layers;
mod names;
mod snapshot;
mod topic_config;

pub mod endpoint;
pub mod properties;
pub mod setting;
pub mod table;
pub mod validity;
pub mod value;

pub use broker_config::BrokerConfig;
pub use conflict::Conflict;
pub use layers::{Layers, Source, Values};
pub use names::{Name, classify};
pub use topic_config::{CleanupPolicy, CompressionType, MessageTimestampType, TopicConfig, TopicConfigError};
