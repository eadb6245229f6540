//! Cluster metadata: the records of `__cluster_metadata`, the image they replay to, and the files both live in.
//!
//! - [`metadata_version`] and [`features`]: which levels exist, and what each changes.
//! - [`image`]: the immutable [`MetadataImage`] that everything else in a node reads; [`delta`]: what one step changed.
//! - [`loader`]: committed batches in, images out, metadata transactions respected.
//! - [`log_batch`] and [`snapshot`]: the bytes of the log's batches and of `.checkpoint` files.
//!
//! Invariants: an image never changes once it is shared; applying a record costs what the record changes, not what exists; iteration
//! order is the same in every process; what was replayed can be written back as records and rebuilds an equal image.

pub mod cluster;
pub mod configs;
pub mod delta;
pub mod directory_id;
pub mod features;
pub mod image;
mod image_records;
pub mod loader;
pub mod log_batch;
pub mod metadata_version;
pub mod partition;
pub mod security;
pub mod snapshot;
pub mod topic_name;
pub mod topics;

pub use delta::MetadataDelta;
pub use image::{ApplyError, MetadataImage, Provenance};
pub use klamm_protocol::control_record::ControlRecord;
pub use klamm_protocol::metadata_record::MetadataRecord;
pub use metadata_version::MetadataVersion;
pub use topics::{Topic, TopicIdPartition, TopicsImage};
