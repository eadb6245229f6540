//! One change of one partition: completes a reassignment that can be completed, keeps eligible leader replicas, elects a leader where one is
//! needed, and says all of it in a single PartitionChangeRecord, or in none where nothing changes.

use std::collections::BTreeSet;

use klamm_metadata::partition::{
    LeaderRecoveryState, NO_LEADER, NO_LEADER_CHANGE, NO_RECOVERY_STATE_CHANGE, Partition,
};
use klamm_metadata::{MetadataVersion, TopicIdPartition};
use klamm_protocol::Uuid;
use klamm_protocol::messages::PartitionChangeRecord;

/// Whom an election may choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Election {
    /// The first replica, if it is in sync; otherwise as `Online`.
    Preferred,
    /// The present leader, or the first in-sync replica; eligible leader replicas where none is in sync.
    #[default]
    Online,
    /// As `Online`, and any live replica where there is no other: committed records may be lost.
    Unclean,
}

/// What the change has to know about the cluster.
pub(crate) struct ChangeRules<'a> {
    /// Decides which version of the record's fields there are.
    pub(crate) version: MetadataVersion,
    /// Whether eligible leader replicas are kept (KIP-966).
    pub(crate) elr_enabled: bool,
    /// In-sync replicas below which those that leave become eligible leader replicas.
    pub(crate) min_isr: usize,
    /// Whether a broker may lead this partition now.
    pub(crate) is_acceptable_leader: &'a dyn Fn(i32) -> bool,
    /// The directory of a replica that is new to a broker.
    pub(crate) default_directory: &'a dyn Fn(i32) -> Uuid,
}

/// A partition, and what it should become.
pub(crate) struct PartitionChange<'a> {
    rules: &'a ChangeRules<'a>,
    partition: &'a Partition,
    /// Kind of election, if one is needed.
    pub(crate) election: Election,
    /// In-sync replicas wanted.
    pub(crate) isr: Vec<i32>,
    /// Replicas wanted.
    pub(crate) replicas: Vec<i32>,
    /// Replicas to be removed once the reassignment completes.
    pub(crate) removing: Vec<i32>,
    /// Replicas that the reassignment adds.
    pub(crate) adding: Vec<i32>,
    /// Recovery state wanted.
    pub(crate) recovery: LeaderRecoveryState,
    /// A broker whose log may have lost its end: it is safe in no set.
    pub(crate) unclean_shutdown: Option<i32>,
    /// A broker whose copy is gone with its directory: it is safe in no set either, and did not lead last.
    pub(crate) lost_copy: Option<i32>,
    /// A replica's new directory.
    pub(crate) directory: Option<(i32, Uuid)>,
    elr: Vec<i32>,
}

struct Elected {
    leader: i32,
    unclean: bool,
}

impl<'a> PartitionChange<'a> {
    /// A change that so far changes nothing.
    pub(crate) fn of(partition: &'a Partition, rules: &'a ChangeRules<'a>) -> Self {
        Self {
            rules,
            partition,
            election: Election::default(),
            isr: partition.isr.to_vec(),
            replicas: partition.replicas.to_vec(),
            removing: partition.removing_replicas.to_vec(),
            adding: partition.adding_replicas.to_vec(),
            recovery: partition.leader_recovery_state,
            unclean_shutdown: None,
            lost_copy: None,
            directory: None,
            elr: partition.elr.to_vec(),
        }
    }

    /// The record that makes the change; none where there is nothing to change.
    pub(crate) fn record(mut self, id: TopicIdPartition) -> Option<PartitionChangeRecord> {
        let unchanged = unchanged(id);
        let mut record = unchanged.clone();
        self.complete_reassignment();
        self.remember_eligible_leaders();
        self.elect(&mut record);
        if record.leader == NO_LEADER_CHANGE && lacks_some_of(&self.replicas, &self.partition.replicas) {
            record.leader = self.partition.leader;
        }
        self.record_elr(&mut record);
        self.record_isr(&mut record);
        self.record_last_known_leader(&mut record);
        self.record_assignment(&mut record);
        if self.recovery != self.partition.leader_recovery_state {
            record.leader_recovery_state = self.recovery.code();
        }
        (record != unchanged).then_some(record)
    }

    /// A reassignment completes once all new replicas are in sync, and if it removes more than it adds, all that stay.
    fn complete_reassignment(&mut self) {
        if self.removing.is_empty() && self.adding.is_empty() {
            return;
        }
        let without_removing = |ids: &[i32]| -> Vec<i32> {
            ids.iter().copied().filter(|id| !self.removing.contains(id)).collect()
        };
        let (isr, replicas) = (without_removing(&self.isr), without_removing(&self.replicas));
        if !self.removing.is_empty() && (isr.is_empty() || replicas.is_empty()) {
            return;
        }
        let shrinks = self.adding.len() < self.removing.len();
        if lacks_some_of(&isr, &self.adding) || shrinks && lacks_some_of(&isr, &replicas) {
            return;
        }
        (self.isr, self.replicas) = (isr, replicas);
        self.removing.clear();
        self.adding.clear();
    }

    /// Those that leave an ISR which is too small stay eligible: every committed record reached them. Who is no replica any more is not
    /// eligible, because its log is deleted: it would come back without one.
    fn remember_eligible_leaders(&mut self) {
        if !self.rules.elr_enabled {
            return;
        }
        if self.isr.len() >= self.rules.min_isr {
            self.elr.clear();
            return;
        }
        let candidates: BTreeSet<i32> = self.elr.iter().chain(self.partition.isr.iter()).copied().collect();
        let is_unsafe = |id: i32| [self.unclean_shutdown, self.lost_copy].contains(&Some(id));
        let is_eligible = |id: &i32| self.replicas.contains(id) && !self.isr.contains(id) && !is_unsafe(*id);
        self.elr = candidates.into_iter().filter(is_eligible).collect();
    }

    fn elect(&mut self, record: &mut PartitionChangeRecord) {
        let Elected { leader, unclean } = self.choose_leader();
        if leader == self.partition.leader {
            return;
        }
        if self.elr.contains(&leader) {
            self.isr = vec![leader];
            // Where one is enough by now, it commits alone, and the others miss that.
            self.remember_eligible_leaders();
        }
        record.leader = leader;
        if unclean {
            // Only the new leader's log counts from here on: whatever the others hold beyond it is lost.
            record.isr = Some(vec![leader]);
            if self.partition.leader_recovery_state != LeaderRecoveryState::Recovering {
                record.leader_recovery_state = LeaderRecoveryState::Recovering.code();
            }
        }
    }

    fn choose_leader(&self) -> Elected {
        let clean = |leader| Elected { leader, unclean: false };
        let preferred = self.replicas.first().filter(|_| self.election == Election::Preferred);
        let current = Some(&self.partition.leader);
        let in_order = preferred.into_iter().chain(current).chain(self.replicas.iter());
        if let Some(&leader) = in_order.into_iter().find(|id| self.may_lead(**id)) {
            return clean(leader);
        }
        if let Some(leader) = self.last_known_leader() {
            return Elected { leader, unclean: true };
        }
        let unclean = self.replicas.iter().find(|id| (self.rules.is_acceptable_leader)(**id));
        match unclean.filter(|_| self.election == Election::Unclean) {
            Some(&leader) => Elected { leader, unclean: true },
            None => clean(NO_LEADER),
        }
    }

    fn may_lead(&self, id: i32) -> bool {
        let holds_all = self.isr.contains(&id) || self.isr.is_empty() && self.elr.contains(&id);
        holds_all && (self.rules.is_acceptable_leader)(id)
    }

    /// With nobody in sync or eligible, the one that led last is the best guess (KIP-966).
    fn last_known_leader(&self) -> Option<i32> {
        if !self.rules.elr_enabled || !self.elr.is_empty() || !self.isr.is_empty() {
            return None;
        }
        match *self.known_last() {
            [only] if (self.rules.is_acceptable_leader)(only) => Some(only),
            _ => None,
        }
    }

    fn known_last(&self) -> Vec<i32> {
        self.partition.last_known_elr.iter().copied().filter(|id| self.may_have_led(*id)).collect()
    }

    /// Whether what the broker has of the partition now is what it may have led with.
    fn may_have_led(&self, id: i32) -> bool {
        self.replicas.contains(&id) && self.lost_copy != Some(id)
    }

    fn record_elr(&mut self, record: &mut PartitionChangeRecord) {
        let unclean = record.isr.is_some();
        if unclean || !self.rules.elr_enabled {
            self.elr.clear();
        }
        if self.elr != *self.partition.elr {
            record.eligible_leader_replicas = Some(self.elr.clone());
        }
    }

    fn record_isr(&self, record: &mut PartitionChangeRecord) {
        let may_be_empty = self.rules.elr_enabled;
        let differs = self.isr != *self.partition.isr;
        if record.isr.is_none() && differs && (may_be_empty || !self.isr.is_empty()) {
            record.isr = Some(self.isr.clone());
        }
        let shrinks = record.isr.as_ref().is_some_and(|isr| lacks_some_of(isr, &self.partition.isr));
        let bump = self.rules.version.bumps_leader_epoch_on_isr_shrink();
        if shrinks && bump && record.leader == NO_LEADER_CHANGE {
            record.leader = self.partition.leader;
        }
    }

    fn record_last_known_leader(&self, record: &mut PartitionChangeRecord) {
        if !self.rules.elr_enabled {
            return;
        }
        let known = self.known_last();
        let last_led = Some(self.partition.leader).filter(|id| self.may_have_led(*id));
        let last_known = match record.leader {
            NO_LEADER if known.is_empty() => last_led.into_iter().collect(),
            leader if leader >= 0 => Vec::new(),
            _ => known,
        };
        if last_known != *self.partition.last_known_elr {
            record.last_known_elr = Some(last_known);
        }
    }

    fn record_assignment(&self, record: &mut PartitionChangeRecord) {
        let directories: Vec<_> = self.replicas.iter().map(|&id| self.directory_of(id)).collect();
        let has_directories = self.rules.version.supports_directory_assignment();
        if has_directories && directories != *self.partition.directories {
            record.directories = Some(directories);
        }
        let changed = |new: &[i32], old: &[i32]| (new != old).then(|| new.to_vec());
        record.replicas = changed(&self.replicas, &self.partition.replicas);
        record.removing_replicas = changed(&self.removing, &self.partition.removing_replicas);
        record.adding_replicas = changed(&self.adding, &self.partition.adding_replicas);
    }

    fn directory_of(&self, id: i32) -> Uuid {
        match self.directory {
            Some((broker_id, directory)) if broker_id == id => directory,
            _ => self.partition.directory(id).unwrap_or_else(|| (self.rules.default_directory)(id)),
        }
    }
}

/// The record that changes nothing but the partition's epoch.
pub(crate) fn unchanged(id: TopicIdPartition) -> PartitionChangeRecord {
    PartitionChangeRecord {
        topic_id: id.topic_id,
        partition_id: id.partition,
        leader: NO_LEADER_CHANGE,
        leader_recovery_state: NO_RECOVERY_STATE_CHANGE,
        ..PartitionChangeRecord::default()
    }
}

/// Whether some of `wanted` is not among `ids`.
fn lacks_some_of(ids: &[i32], wanted: &[i32]) -> bool {
    wanted.iter().any(|id| !ids.contains(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TopicIdPartition = TopicIdPartition { topic_id: Uuid([1; 16]), partition: 0 };

    fn partition(replicas: &[i32], isr: &[i32], leader: i32) -> Partition {
        Partition {
            replicas: replicas.into(),
            directories: vec![Uuid([9; 16]); replicas.len()].into(),
            isr: isr.into(),
            leader,
            leader_epoch: 5,
            partition_epoch: 9,
            ..Partition::default()
        }
    }

    /// What a change makes of a partition: leader, ISR, ELR, last known ELR, leader epoch; the record is merged as replay would.
    type Outcome = Option<(i32, Vec<i32>, Vec<i32>, Vec<i32>, i32)>;

    fn change(
        partition: &Partition,
        live: &[i32],
        min_isr: usize,
        edit: impl FnOnce(&mut PartitionChange<'_>),
    ) -> Outcome {
        let is_acceptable_leader = |id| live.contains(&id);
        let rules = ChangeRules {
            version: MetadataVersion::LATEST,
            elr_enabled: min_isr > 0,
            min_isr,
            is_acceptable_leader: &is_acceptable_leader,
            default_directory: &|_| Uuid([9; 16]),
        };
        let mut change = PartitionChange::of(partition, &rules);
        edit(&mut change);
        let after = partition.merge(&change.record(ID)?).unwrap();
        after.check_invariants();
        let Partition { leader, isr, elr, last_known_elr, leader_epoch, .. } = after;
        Some((leader, isr.into(), elr.into(), last_known_elr.into(), leader_epoch))
    }

    #[test]
    fn nothing_to_do_is_no_record() {
        let healthy = partition(&[1, 2, 3], &[1, 2, 3], 2);
        assert_eq!(change(&healthy, &[1, 2, 3], 2, |_| {}), None);
    }

    #[test]
    fn the_only_replica_that_stops_stays_eligible() {
        let alone = partition(&[1], &[1], 1);
        let stopped = change(&alone, &[], 1, |change| change.isr.clear());
        assert_eq!(stopped, Some((NO_LEADER, vec![], vec![1], vec![1], 6)));
        let down =
            Partition { elr: [1].into(), last_known_elr: [1].into(), ..partition(&[1], &[], NO_LEADER) };
        assert_eq!(change(&down, &[1], 1, |_| {}), Some((1, vec![1], vec![], vec![], 6)));
    }

    #[test]
    fn without_elr_the_last_in_sync_replica_stays_in_sync() {
        let alone = partition(&[1], &[1], 1);
        let stopped = change(&alone, &[], 0, |change| change.isr.clear());
        assert_eq!(stopped, Some((NO_LEADER, vec![1], vec![], vec![], 6)));
    }

    #[test]
    fn elections_by_kind() {
        let behind = partition(&[1, 2, 3], &[2], 2);
        let cases = [
            (Election::Online, vec![1, 2, 3], None),
            (Election::Preferred, vec![1, 2, 3], None),
            (Election::Unclean, vec![1, 3], Some((1, vec![1], vec![], vec![], 6))),
            (Election::Online, vec![1, 3], Some((NO_LEADER, vec![2], vec![], vec![], 6))),
        ];
        for (election, live, expected) in cases {
            let got = change(&behind, &live, 0, |change| change.election = election);
            assert_eq!(got, expected, "{election:?} with {live:?} alive");
        }
        let in_sync = partition(&[1, 2, 3], &[3, 1, 2], 2);
        let got = change(&in_sync, &[1, 2, 3], 0, |change| change.election = Election::Preferred);
        assert_eq!(got, Some((1, vec![3, 1, 2], vec![], vec![], 5 + 1)));
    }

    #[test]
    fn shrinking_below_min_isr_keeps_the_leaver_eligible_unless_its_log_is_in_doubt() {
        let full = partition(&[1, 2, 3], &[1, 2], 1);
        let leave = |change: &mut PartitionChange<'_>| change.isr = vec![1];
        assert_eq!(change(&full, &[1, 3], 2, leave), Some((1, vec![1], vec![2], vec![], 5)));
        let crash = |change: &mut PartitionChange<'_>| {
            change.isr = vec![1];
            change.unclean_shutdown = Some(2);
        };
        assert_eq!(change(&full, &[1, 3], 2, crash), Some((1, vec![1], vec![], vec![], 5)));
    }

    #[test]
    fn a_reassignment_completes_when_the_added_are_in_sync() {
        let moving = Partition {
            adding_replicas: [3].into(),
            removing_replicas: [1].into(),
            ..partition(&[2, 3, 1], &[1, 2], 1)
        };
        assert_eq!(change(&moving, &[1, 2, 3], 0, |change| change.isr = vec![1, 2]), None);
        let done = change(&moving, &[1, 2, 3], 0, |change| change.isr = vec![1, 2, 3]);
        assert_eq!(done, Some((2, vec![2, 3], vec![], vec![], 6)));
    }

    /// It may become one again, with an empty log.
    #[test]
    fn who_is_no_replica_any_more_is_not_eligible() {
        let moving = Partition {
            adding_replicas: [3].into(),
            removing_replicas: [1].into(),
            elr: [2].into(),
            ..partition(&[3, 2, 1], &[1], 1)
        };
        let done = change(&moving, &[1, 3], 2, |change| change.isr = vec![1, 3]);
        assert_eq!(done, Some((3, vec![3], vec![2], vec![], 6)));
        let alone = Partition { elr: [1].into(), last_known_elr: [1].into(), ..partition(&[1, 2], &[], -1) };
        let moved = change(&alone, &[], 1, |change| change.replicas = vec![2]);
        assert_eq!(moved, Some((NO_LEADER, vec![], vec![], vec![], 6)), "nor known as the last leader");
    }
}
