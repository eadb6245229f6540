//! Decisions on cluster metadata.
