//! The whole broker on one thread from one seed.
//!
//! Production code of broker, log, coordinator, controller and client runs on a simulated network, disk, clock and source of random
//! numbers, on one thread with virtual time. The seed decides what clients do and what goes wrong. While it runs, what the broker says is
//! held against a model; afterwards everything is read again.
//!
//! Invariant: the same seed does the same, byte for byte. Nothing here may look at real time, at addresses, or at the order of a hash map.

mod check;
mod clock;
mod cluster;
mod disk;
mod machine;
mod network;
mod panics;
pub mod plants;
mod process;
mod random;
mod run;
mod schedule;
mod shape;
mod shrink;
mod trace;
mod workload;

pub use check::Counts;
pub use plants::Plant;
pub use run::{Outcome, Scenario, simulate};
pub use schedule::Without;
pub use shape::Shape;
pub use shrink::shrunk;
pub use trace::Recorded;
