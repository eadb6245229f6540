//! Brokers and their log directories: what they start on, what they refuse, and what becomes of failing disks.

mod formatting;
mod node;
mod replicas;
mod starts;
