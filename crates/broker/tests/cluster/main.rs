//! Several nodes in one process, over real sockets.

mod cluster;
mod coordinators;
mod directories;
mod envelopes;
mod membership;
mod network;
mod replicated;
mod replication;
mod throttles;
