//! What the metadata log says about one partition.
//!
//! Invariants, checked by [`Partition::check_invariants`]: a directory for each replica; ISR, eligible leader replicas, adding and
//! removing replicas are replicas; ISR and eligible leader replicas are disjoint; the leader is a replica in the ISR, or absent.

use klamm_protocol::Uuid;
use klamm_protocol::messages::partition_change_record::PartitionChangeRecord;
use klamm_protocol::messages::partition_record::PartitionRecord;
use thiserror::Error;

use crate::directory_id;
use crate::metadata_version::MetadataVersion;

/// The leader of a partition that has none.
pub const NO_LEADER: i32 = -1;
/// The leader field of a PartitionChangeRecord that leaves the leader as it is.
pub const NO_LEADER_CHANGE: i32 = -2;
/// The recovery state of a PartitionChangeRecord that leaves it as it is.
pub const NO_RECOVERY_STATE_CHANGE: i8 = -1;

/// Whether a leader that was elected uncleanly has recovered (KIP-704).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaderRecoveryState {
    /// The log is as committed.
    #[default]
    Recovered,
    /// Elected from outside the in-sync replicas and not yet confirmed by the leader.
    Recovering,
}

impl LeaderRecoveryState {
    /// The value in records and requests.
    pub fn code(self) -> i8 {
        match self {
            Self::Recovered => 0,
            Self::Recovering => 1,
        }
    }

    /// The state with this code.
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Recovered),
            1 => Some(Self::Recovering),
            _ => None,
        }
    }
}

/// A partition record that contradicts itself or what it changes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PartitionError {
    /// There must be as many directories as replicas.
    #[error("{directories} directories for {replicas} replicas")]
    DirectoryCount {
        /// Directories given.
        directories: usize,
        /// Replicas given.
        replicas: usize,
    },
    /// Neither recovered (0) nor recovering (1).
    #[error("unknown leader recovery state {0}")]
    RecoveryState(i8),
}

/// One partition: who holds it, who leads it, in which epochs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// Assigned brokers, the preferred leader first. While a reassignment runs: the target, then those still to leave.
    pub replicas: Box<[i32]>,
    /// The log directory of each replica, in the order of `replicas`.
    pub directories: Box<[Uuid]>,
    /// In-sync replicas.
    pub isr: Box<[i32]>,
    /// Replicas that leave when the running reassignment completes.
    pub removing_replicas: Box<[i32]>,
    /// Replicas that the running reassignment added.
    pub adding_replicas: Box<[i32]>,
    /// Eligible leader replicas: not in sync, but known to hold every committed record (KIP-966).
    pub elr: Box<[i32]>,
    /// The last leader of a partition that has none now (KIP-966).
    pub last_known_elr: Box<[i32]>,
    /// The leader's broker id, or [`NO_LEADER`].
    pub leader: i32,
    /// Whether the leader still recovers from an unclean election.
    pub leader_recovery_state: LeaderRecoveryState,
    /// Rises with each change of leader.
    pub leader_epoch: i32,
    /// Rises with each change of anything.
    pub partition_epoch: i32,
}

impl Partition {
    /// The partition a PartitionRecord describes.
    pub fn from_record(record: &PartitionRecord) -> Result<Self, PartitionError> {
        let recovery = record.leader_recovery_state;
        Ok(Self {
            replicas: record.replicas.as_slice().into(),
            directories: directories_for(&record.replicas, &record.directories)?,
            isr: record.isr.as_slice().into(),
            removing_replicas: record.removing_replicas.as_slice().into(),
            adding_replicas: record.adding_replicas.as_slice().into(),
            elr: record.eligible_leader_replicas.as_deref().unwrap_or_default().into(),
            last_known_elr: record.last_known_elr.as_deref().unwrap_or_default().into(),
            leader: record.leader,
            leader_recovery_state: LeaderRecoveryState::from_code(recovery)
                .ok_or(PartitionError::RecoveryState(recovery))?,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
        })
    }

    /// The partition after a PartitionChangeRecord. Naming a leader, even the same one, raises the leader epoch.
    pub fn merge(&self, change: &PartitionChangeRecord) -> Result<Self, PartitionError> {
        let or = |new: &Option<Vec<i32>>, old: &[i32]| -> Box<[i32]> { new.as_deref().unwrap_or(old).into() };
        let replicas = or(&change.replicas, &self.replicas);
        let directories =
            directories_for(&replicas, change.directories.as_deref().unwrap_or(&self.directories))?;
        let (leader, leader_epoch) = match change.leader {
            NO_LEADER_CHANGE => (self.leader, self.leader_epoch),
            leader => (leader, self.leader_epoch + 1),
        };
        let leader_recovery_state = match change.leader_recovery_state {
            NO_RECOVERY_STATE_CHANGE => self.leader_recovery_state,
            code => LeaderRecoveryState::from_code(code).ok_or(PartitionError::RecoveryState(code))?,
        };
        Ok(Self {
            replicas,
            directories,
            isr: or(&change.isr, &self.isr),
            removing_replicas: or(&change.removing_replicas, &self.removing_replicas),
            adding_replicas: or(&change.adding_replicas, &self.adding_replicas),
            elr: or(&change.eligible_leader_replicas, &self.elr),
            last_known_elr: or(&change.last_known_elr, &self.last_known_elr),
            leader,
            leader_recovery_state,
            leader_epoch,
            partition_epoch: self.partition_epoch + 1,
        })
    }

    /// The partition with its eligible leader replicas forgotten, or none if it has none to forget.
    pub fn without_elr(&self) -> Option<Self> {
        let has_elr = !self.elr.is_empty() || !self.last_known_elr.is_empty();
        has_elr.then(|| Self {
            elr: [].into(),
            last_known_elr: [].into(),
            partition_epoch: self.partition_epoch + 1,
            ..self.clone()
        })
    }

    /// The record that describes this partition at `version`. Empty eligible leader replicas are left out, as are those that the
    /// version cannot carry.
    pub fn to_record(&self, topic_id: Uuid, partition_id: i32, version: MetadataVersion) -> PartitionRecord {
        let elr = |ids: &[i32]| {
            (version.supports_eligible_leader_replicas() && !ids.is_empty()).then(|| ids.to_vec())
        };
        PartitionRecord {
            partition_id,
            topic_id,
            replicas: self.replicas.to_vec(),
            isr: self.isr.to_vec(),
            removing_replicas: self.removing_replicas.to_vec(),
            adding_replicas: self.adding_replicas.to_vec(),
            leader: self.leader,
            leader_recovery_state: self.leader_recovery_state.code(),
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            directories: if version.supports_directory_assignment() {
                self.directories.to_vec()
            } else {
                Vec::new()
            },
            eligible_leader_replicas: elr(&self.elr),
            last_known_elr: elr(&self.last_known_elr),
        }
    }

    /// Whether somebody leads the partition.
    pub fn has_leader(&self) -> bool {
        self.leader != NO_LEADER
    }

    /// Whether the first replica leads the partition.
    pub fn has_preferred_leader(&self) -> bool {
        self.replicas.first() == Some(&self.leader)
    }

    /// Whether replicas are being added or removed.
    pub fn is_reassigning(&self) -> bool {
        !self.adding_replicas.is_empty() || !self.removing_replicas.is_empty()
    }

    /// The log directory of a broker's replica; none where the broker is no replica.
    pub fn directory(&self, broker_id: i32) -> Option<Uuid> {
        let index = self.replicas.iter().position(|&replica| replica == broker_id)?;
        Some(self.directories[index])
    }

    /// Panics where the module's invariants do not hold; for tests and simulation.
    pub fn check_invariants(&self) {
        assert_eq!(self.directories.len(), self.replicas.len(), "a directory for each replica: {self:?}");
        for ids in [&self.isr, &self.elr, &self.adding_replicas, &self.removing_replicas] {
            assert!(ids.iter().all(|id| self.replicas.contains(id)), "only replicas: {self:?}");
        }
        assert!(self.elr.iter().all(|id| !self.isr.contains(id)), "ISR and ELR are disjoint: {self:?}");
        assert!(!self.has_leader() || self.isr.contains(&self.leader), "the leader is in sync: {self:?}");
    }
}

/// Records older than directory assignment carry no directories.
fn directories_for(replicas: &[i32], directories: &[Uuid]) -> Result<Box<[Uuid]>, PartitionError> {
    if directories.iter().all(|&directory| directory == directory_id::MIGRATING) {
        return Ok(vec![directory_id::MIGRATING; replicas.len()].into());
    }
    if directories.len() != replicas.len() {
        return Err(PartitionError::DirectoryCount {
            directories: directories.len(),
            replicas: replicas.len(),
        });
    }
    Ok(directories.into())
}
