//! Requests in, records and responses out, on clusters of one and of several brokers.

mod cluster;
mod single_node;
