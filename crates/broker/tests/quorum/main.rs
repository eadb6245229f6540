//! The metadata quorum over several processes' worth of nodes, on real loopback sockets: each with its own threads and its own disk in memory.

mod cluster;
mod node;
mod quorum;
