//! Drives the metadata log, the quorum and the controller.
//!
//! Everything that changes the cluster's metadata goes through here: a request is decided on the controller's state, its records are
//! appended to the metadata log, and when the quorum has committed them the image is published and the request answered. Requests
//! that arrive while a flush is under way are decided meanwhile and share the next flush.
//!
//! Every node has a replica of the metadata log and runs the same driver: voters, and observers that only follow. What other replicas ask
//! comes in as a [`ReplicaRequest`], what this one asks of them goes out through `outbound`.

mod active;
mod channel;
mod decision;
mod download;
mod driver;
mod feature_update;
mod fetched;
mod idleness;
mod joining;
mod metadata_log;
mod outbound;
mod outputs;
mod periodic_elections;
mod publication;
mod replica_request;
mod snapshots;
mod status;

pub(crate) use channel::NodeRequest;
pub(crate) use decision::{ControllerHandle, Requests, Unavailable};
pub use driver::DriverError;
pub(crate) use driver::{Driver, DriverParts, Publisher};
pub(crate) use idleness::Idleness;
pub use metadata_log::MetadataLogError;
pub(crate) use metadata_log::{MetadataLog, SnapshotFile, format};
pub(crate) use outbound::{OutboundConfig, bootstrap_ids};
pub(crate) use periodic_elections::PeriodicElections;
pub(crate) use replica_request::{ReplicaRequest, Told};
pub(crate) use snapshots::SnapshotPolicy;
pub(crate) use status::{ActiveController, ReplicaStatus};
