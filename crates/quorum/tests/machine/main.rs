//! The machine from outside: one voter against Kafka's own bytes, and several against each other.

mod following;
mod kraft_version;
mod network;
mod several_voters;
mod single_voter;
mod voter_changes;
