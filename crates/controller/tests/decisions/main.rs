//! Requests in, records and responses out, on clusters of one and of several brokers.

mod cluster;
mod configs;
mod features;
mod golden;
mod random;
mod several_brokers;
mod single_node;
mod topics;
