//! The running binary and what must not harm it: a start that cannot succeed, damaged files, a full disk, SIGKILL.
//!
//! Always the same is asked: one line that names the thing, nothing lost on disk, and everything that was acknowledged still there.

#[path = "../binary/mod.rs"]
mod binary;
mod broker;
mod damaged_metadata;
mod damaged_partition;
mod full_disk;
mod sigkill;
mod start;
