//! Bugs planted at the seams, to show that the checks find bugs.
//!
//! None of them is in the production code: each is a disk, a wire or a machine that does what that code would do if it had the bug. Which
//! one stands for what is argued in `docs/decisions/010-simulation.md`.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use klamm_protocol::ApiKey;
use parking_lot::Mutex;

use crate::network::Call;
use crate::random::Dice;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Records are acknowledged and never written.
    AckBeforeWrite,
    /// A sync returns before anything is durable.
    LostFsync,
}

/// All bugs, with their names and what they stand for.
pub const ALL: &[(Plant, &str, &str)] = &[
    (Plant::AckBeforeWrite, "ack-before-write", "an acknowledged batch was never written"),
    (Plant::LostFsync, "lost-fsync", "a flush returns before the records are durable"),
];

impl Plant {
    /// The bug of that name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, its_name, _)| *its_name == name).map(|(plant, ..)| *plant)
    }
}

/// The bug of a run, if it has one, and what decides when it shows. Clones share it.
#[derive(Clone)]
pub(crate) struct Plants {
    plant: Option<Plant>,
    dice: Dice,
    memory: Arc<Mutex<Vec<u8>>>,
}

impl Plants {
    /// With this bug, or none.
    pub(crate) fn new(plant: Option<Plant>, dice: Dice) -> Self {
        Self { plant, dice, memory: Arc::default() }
    }

    fn strikes(&self, plant: Plant, percent: u64) -> bool {
        self.plant == Some(plant) && self.dice.percent(percent)
    }

    pub(crate) fn swallows_write(&self, path: &Path) -> bool {
        is_log(path) && self.strikes(Plant::AckBeforeWrite, 10)
    }

    pub(crate) fn instead_of_write(&self, _: &Path, _: &[IoSlice<'_>]) -> Option<Vec<u8>> {
        None
    }

    pub(crate) fn swallows_truncation(&self, _: &Path) -> bool {
        false
    }

    pub(crate) fn swallows_sync(&self, path: &Path) -> bool {
        is_log(path) && self.strikes(Plant::LostFsync, 100)
    }

    pub(crate) fn after_read(&self, _: &Path, _: &mut [u8]) {}

    pub(crate) fn on_request(&self, _: ApiKey, _: i16, _: &mut Vec<u8>) {}

    pub(crate) fn on_response(&self, _: &Call, _: &mut Vec<u8>) {
        let _ = &self.memory;
    }
}

/// A segment of a topic of the workload.
fn is_log(path: &Path) -> bool {
    let in_topic = path
        .parent()
        .and_then(Path::file_name)
        .is_some_and(|dir| dir.as_encoded_bytes().starts_with(b"topic-"));
    in_topic && path.extension().is_some_and(|extension| extension == "log")
}
