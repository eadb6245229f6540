//! Hostile input against the running binary: malformed frames and batches made from real ones, and peers that hold on to what they
//! have, with normal clients beside them, whose answers are checked, and an eye on the broker's memory.

use crate::check::{Check, Needs, Verdict};
use crate::stage::Stage;

mod batches;
mod connections;
mod frames;
mod golden;
mod memory;
mod messages;
mod mutation;
mod siege;
mod slow;
mod wire;

pub(crate) const CHECKS: &[Check] = &[
    check("malformed-frames", frames::malformed_frames),
    check("malformed-batches", batches::malformed_batches),
    check("many-connections", connections::many_connections),
    check("slow-peers", slow::slow_peers),
];

const fn check(name: &'static str, run: fn(&Stage<'_>) -> Verdict) -> Check {
    Check::new("hostile", name, Needs::Program, run)
}
