//! Raising `kraft.version` from 0 to 1 (KIP-853): from then on the voters are in the log, and may change.
//!
//! At level 0 they are those of the settings, of which only ids and addresses are known. Each voter describes itself to every new leader,
//! which remembers that while it leads; once all have, the level can be raised, and what they said becomes the first VotersRecord.

use std::cmp::Ordering;

use klamm_metadata::ControlRecord;
use klamm_protocol::messages::KRaftVersionRecord;
use thiserror::Error;

use crate::output::Output;
use crate::quorum::Quorum;
use crate::role::{Leader, Role};
use crate::voter_change::VoterChangeError;
use crate::voters::{VoterNode, VoterSet};

/// Why the quorum cannot be at a level of `kraft.version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KRaftVersionError {
    /// Only the leader raises it.
    #[error("this node does not lead the metadata quorum")]
    NotLeader,
    /// A level is never left for a lower one.
    #[error("the quorum is at level {0}, which cannot be lowered")]
    Downgrade(i16),
    /// A voter has not described itself to this leader.
    #[error("voter {0} has not told the leader yet what it supports")]
    Unheard(i32),
    /// A voter cannot run at it.
    #[error("voter {0} does not support it")]
    Unsupported(i32),
}

impl Quorum {
    /// Whether the quorum is at the level, or can be raised to it now.
    pub fn check_kraft_version(&self, level: i16) -> Result<(), KRaftVersionError> {
        let Role::Leader(leader) = &self.role else { return Err(KRaftVersionError::NotLeader) };
        match level.cmp(&self.kraft_version) {
            Ordering::Equal => Ok(()),
            Ordering::Less => Err(KRaftVersionError::Downgrade(self.kraft_version)),
            Ordering::Greater => self.voters_at(leader, level).map(drop),
        }
    }

    /// Raises the level. It is in force at once, and stays when the high watermark reaches the log's end.
    pub fn raise_kraft_version(&mut self, level: i16) -> Result<Vec<Output>, KRaftVersionError> {
        self.check_kraft_version(level)?;
        let Role::Leader(leader) = &self.role else { return Err(KRaftVersionError::NotLeader) };
        if level == self.kraft_version {
            return Ok(Vec::new());
        }
        let voters = self.voters_at(leader, level)?;
        let level = KRaftVersionRecord { version: 0, kraft_version: level };
        let records = vec![ControlRecord::KRaftVersion(level), ControlRecord::Voters(voters.to_record())];
        Ok(vec![self.append_control(records)])
    }

    /// Takes note of what a voter of the settings says of itself, its directory included. Nothing is written, and a later leader does not
    /// know it.
    pub(crate) fn note_description(&mut self, now_ms: i64, voter: VoterNode) -> Result<(), VoterChangeError> {
        let id = voter.key.id;
        let is_other_voter = id != self.config.local.key.id && self.current_voters().get(id).is_some();
        self.check_level(&voter)?;
        let Role::Leader(leader) = &mut self.role else { return Err(VoterChangeError::NotLeader) };
        if leader.high_watermark.is_none() {
            return Err(VoterChangeError::Pending);
        }
        if !is_other_voter {
            return Err(VoterChangeError::NoSuchVoter(id));
        }
        leader.described.insert(id, voter);
        self.note_heard(now_ms, id);
        Ok(())
    }

    /// The voters as they describe themselves, where all support the level.
    fn voters_at(&self, leader: &Leader, level: i16) -> Result<VoterSet, KRaftVersionError> {
        let local = &self.config.local;
        let described = self.current_voters().ids().map(|id| {
            let voter = if id == local.key.id { Some(local) } else { leader.described.get(&id) };
            let voter = voter.ok_or(KRaftVersionError::Unheard(id))?;
            match voter.supports(level) {
                true => Ok(voter.clone()),
                false => Err(KRaftVersionError::Unsupported(id)),
            }
        });
        Ok(VoterSet::new(described.collect::<Result<Vec<_>, _>>()?))
    }
}
