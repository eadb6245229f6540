//! The broker: accepts connections, handles requests, and drives the machines that decide.

mod authorized_operations;
mod broker;
mod config_rules;
mod connection;
mod controller;
mod dispatch;
pub mod environment;
mod find_partition;
mod format;
mod forwarding;
mod gone_brokers;
mod groups;
mod handlers;
mod housekeeping;
mod internal_topics;
mod leader_endpoints;
mod limits;
mod listener;
mod metadata_start;
mod metrics;
mod observer;
mod offline_directories;
mod partition;
mod peers;
mod producer_ids;
mod registration;
mod replica_directories;
mod replica_move;
mod replicas;
mod replication;
mod request;
mod server;
mod storage;
mod throttles;
mod worker_threads;

pub use controller::{DriverError, MetadataLogError};
pub use format::{
    FormatError, FormatOptions, FormattedDirectory, InitialController, InitialControllers,
    NoInitialController, format,
};
pub use listener::ListenError;
pub use observer::{Observer, ReplicaStatus};
pub use registration::RegistrationError;
pub use server::{Server, StartError, start};
pub use storage::DirectoryError;
pub use worker_threads::WorkerThreads;
