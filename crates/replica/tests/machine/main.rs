//! The leader machine by its outputs: single steps in tables, and a partition on a bad network from many seeds.

mod leader;
mod network;
mod partition;
