//! Several nodes in one process, over real sockets.

mod cluster;
mod membership;
mod network;
mod replication;
