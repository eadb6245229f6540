//! Voters come and go one at a time (KIP-853): each change is a VotersRecord, in force as soon as it is in the log, and done once committed.

use klamm_metadata::ControlRecord;
use thiserror::Error;

use crate::output::Output;
use crate::quorum::Quorum;
use crate::role::{Leader, Progress, Role};
use crate::voters::{ReplicaKey, VoterNode, VoterSet};

/// A replica that last had the whole log this long ago is not caught up enough to vote.
const CAUGHT_UP_WITHIN_MS: i64 = 3_600_000;

/// Why the voters cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VoterChangeError {
    /// Only the leader changes the voters.
    #[error("this node does not lead the metadata quorum")]
    NotLeader,
    /// The voters are those of the settings.
    #[error("kraft.version 0 has its voters in the settings")]
    StaticVoters,
    /// The leader has not committed a record of its own epoch yet, or an earlier change of the voters.
    #[error("an earlier change is not committed yet")]
    Pending,
    /// A voter has this node id.
    #[error("node {0} is a voter already")]
    AlreadyVoter(i32),
    /// No such voter.
    #[error("no voter is replica {0} in that directory")]
    NoSuchVoter(i32),
    /// The only voter cannot go.
    #[error("the only voter cannot be removed")]
    LastVoter,
    /// The replica has not fetched the whole log of late.
    #[error("replica {0} has not caught up with the log")]
    NotCaughtUp(i32),
    /// The node cannot run at the quorum's level.
    #[error("node {0} does not support the quorum's kraft.version")]
    KRaftVersion(i32),
}

impl Quorum {
    /// Makes an observer that has caught up a voter. The change is done when the high watermark reaches the offset returned.
    pub fn add_voter(
        &mut self,
        now_ms: i64,
        voter: VoterNode,
    ) -> Result<(i64, Vec<Output>), VoterChangeError> {
        let id = voter.key.id;
        self.check_addition(id)?;
        self.check_level(&voter)?;
        let caught_up_ms = match &self.role {
            Role::Leader(leader) => {
                observer(leader, voter.key).map_or(-1, |(_, progress)| progress.last_caught_up_ms)
            }
            _ => -1,
        };
        if caught_up_ms < 0 || now_ms - caught_up_ms > CAUGHT_UP_WITHIN_MS {
            return Err(VoterChangeError::NotCaughtUp(id));
        }
        Ok(self.change_voters(now_ms, self.current_voters().with(voter)))
    }

    /// Whether a voter with this id may be added now, as far as can be said before it was asked what it supports.
    pub fn check_addition(&self, id: i32) -> Result<(), VoterChangeError> {
        self.check_change_allowed()?;
        match self.current_voters().get(id) {
            Some(_) => Err(VoterChangeError::AlreadyVoter(id)),
            None => Ok(()),
        }
    }

    /// Takes a voter's vote away. A leader that removes itself leads until that is committed, then steps down.
    pub fn remove_voter(
        &mut self,
        now_ms: i64,
        key: ReplicaKey,
    ) -> Result<(i64, Vec<Output>), VoterChangeError> {
        self.check_change_allowed()?;
        if !self.current_voters().contains(key) {
            return Err(VoterChangeError::NoSuchVoter(key.id));
        }
        if self.current_voters().len() == 1 {
            return Err(VoterChangeError::LastVoter);
        }
        Ok(self.change_voters(now_ms, self.current_voters().without(key.id)))
    }

    /// Replaces a voter's endpoints and levels. With `kraft.version` 0 the leader only remembers them, and the voter's directory.
    pub fn update_voter(
        &mut self,
        now_ms: i64,
        voter: VoterNode,
    ) -> Result<(i64, Vec<Output>), VoterChangeError> {
        if self.kraft_version == 0 {
            return self.note_description(now_ms, voter).map(|()| (self.log.end_offset, Vec::new()));
        }
        self.check_change_allowed()?;
        if !self.current_voters().contains(voter.key) {
            return Err(VoterChangeError::NoSuchVoter(voter.key.id));
        }
        self.check_level(&voter)?;
        Ok(self.change_voters(now_ms, self.current_voters().with(voter)))
    }

    fn check_change_allowed(&self) -> Result<(), VoterChangeError> {
        let Role::Leader(leader) = &self.role else { return Err(VoterChangeError::NotLeader) };
        if self.kraft_version == 0 {
            return Err(VoterChangeError::StaticVoters);
        }
        match leader.high_watermark {
            Some(committed) if self.voters_offset() < committed => Ok(()),
            _ => Err(VoterChangeError::Pending),
        }
    }

    pub(crate) fn check_level(&self, voter: &VoterNode) -> Result<(), VoterChangeError> {
        match voter.supports(self.kraft_version) {
            true => Ok(()),
            false => Err(VoterChangeError::KRaftVersion(voter.key.id)),
        }
    }

    fn change_voters(&mut self, now_ms: i64, voters: VoterSet) -> (i64, Vec<Output>) {
        let led_alone = self.is_only_voter();
        let append = self.append_control(vec![ControlRecord::Voters(voters.to_record())]);
        if led_alone {
            self.await_quorum(now_ms);
        }
        (self.log.end_offset, vec![append])
    }

    /// Moves what the leader knows of replicas to where it belongs under the voters now in force.
    pub(crate) fn follow_voters(&mut self) {
        let local = self.config.local.key.id;
        let voters = self.current_voters().clone();
        let mut newest_first = self.voters.iter().rev().map(|(_, voters)| voters);
        let before = newest_first.nth(1).cloned().unwrap_or_default();
        let Role::Leader(leader) = &mut self.role else { return };
        for voter in voters.iter().filter(|voter| voter.key.id != local) {
            let known = observer(leader, voter.key).map(|(key, progress)| (*key, *progress));
            if let Some((key, _)) = known {
                leader.observers.remove(&key);
            }
            let progress = known.map_or_else(Progress::unknown, |(_, progress)| progress);
            leader.voters.entry(voter.key.id).or_insert(progress);
        }
        let gone: Vec<_> = leader.voters.keys().copied().filter(|&id| voters.get(id).is_none()).collect();
        for id in gone {
            let progress = leader.voters.remove(&id);
            leader.fetched.remove(&id);
            let key = before.get(id).map_or(ReplicaKey::of_id(id), |voter| voter.key);
            leader.observers.extend(progress.map(|progress| (key, progress)));
        }
    }

    /// Steps down once its own removal is committed.
    pub(crate) fn leave_if_removed(&mut self, now_ms: i64, outputs: &mut Vec<Output>) {
        let is_committed = self.voters_offset() < self.high_watermark;
        if self.is_leader() && !self.is_voter() && is_committed {
            self.resign_lead(now_ms, outputs);
        }
    }

    fn voters_offset(&self) -> i64 {
        self.voters.last().map_or(-1, |(offset, _)| *offset)
    }
}

fn observer(leader: &Leader, key: ReplicaKey) -> Option<(&ReplicaKey, &Progress)> {
    leader.observers.iter().find(|(observer, _)| observer.matches(key))
}
