//! The consumer.

pub(crate) mod group;
