//! Decisions on cluster metadata: requests in, records and a response out.
//!
//! The controller is event-sourced. A decision is a method of [`Controller`] that takes `&self` and changes nothing: its
//! [`Decision::records`] do, once they are in the log and given to [`Controller::apply`]. Replaying the log gives every replica the same
//! state through the same `apply`.
//!
//! The driver's order, for each request:
//! 1. decide; 2. append the records to the log in one batch; 3. `apply` each record with its offset, so that the next decision sees it;
//! 4. flush, commit; 5. only then answer with the response.
//!
//! A controller lives as long as its node leads: whoever loses the lead drops it, with what was not committed, and whoever takes the lead
//! makes one from the committed image. When brokers were last heard of is the one thing that is not in the log ([`Controller::touch`],
//! [`Controller::overdue_broker`]).
//!
//! Invariants: records of a decision always apply to the state it was made on; nothing here reads a clock or draws a random number of its
//! own; iteration order, and so every record, is the same for the same inputs.

mod activation;
mod alter_partition;
mod brokers;
mod configs;
mod controllers;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod directories;
mod elections;
mod features;
mod heartbeats;
mod index;
mod partition_change;
mod placement;
mod producer_ids;
mod reassignments;
mod refusal;
mod repeated;
mod state;

pub use activation::bootstrap_records;
pub use configs::{ConfigChanges, ConfigRules, EffectiveConfig};
pub use features::{FeatureUpdate, KRaftVersion};
pub use refusal::Refusal;
pub use state::{Appended, Controller, ControllerConfig, Decision, Step};

/// Producer ids a broker is given at a time.
pub const PRODUCER_ID_BLOCK_SIZE: i32 = 1000;
/// Records one request may yield at most; they have to fit one batch.
pub const RECORDS_PER_DECISION_MAX: usize = 10_000;
