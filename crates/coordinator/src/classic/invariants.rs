//! What always holds for a classic group, checked after every step of a test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::group::{ClassicGroup, GroupState};
use crate::step::RequestId;
use crate::timer::{Guards, Timer, TimerKey, TimerQueue};

impl ClassicGroup {
    /// Checks the invariants; adds the requests that wait here to `parked`.
    ///
    /// # Panics
    /// If one does not hold.
    pub(crate) fn check_invariants(&self, timers: &TimerQueue, parked: &mut BTreeSet<RequestId>) {
        self.check_members();
        self.check_state();
        self.check_timers(timers);
        for member in self.members.values() {
            for waiting in [member.parked_join, member.parked_sync].into_iter().flatten() {
                assert!(parked.insert(waiting.request), "{:?} waits twice", waiting.request);
            }
        }
    }

    fn check_members(&self) {
        let mut offers: BTreeMap<Box<str>, usize> = BTreeMap::new();
        let mut static_members = BTreeMap::new();
        for (id, member) in &self.members {
            assert_eq!(*id, member.id);
            assert!(!self.pending_members.contains_key(id), "{id} is both a member and pending");
            for protocol in &member.subscription.protocols {
                *offers.entry(protocol.name.clone()).or_default() += 1;
            }
            if let Some(instance_id) = &member.instance_id {
                let other = static_members.insert(instance_id.clone(), Arc::clone(id));
                assert_eq!(other, None, "two members are instance {instance_id}");
            }
        }
        assert_eq!(self.offers, offers);
        assert_eq!(self.static_members, static_members);
        let waiting = self.members.values().filter(|member| member.parked_join.is_some()).count();
        assert_eq!(self.parked_joins, waiting);
        assert!(self.pending_sync.iter().all(|id| self.members.contains_key(id)), "a stranger is to sync");
        match &self.leader {
            Some(leader) => assert!(self.members.contains_key(leader), "the leader {leader} is no member"),
            None => assert!(self.members.is_empty(), "members without a leader"),
        }
    }

    fn check_state(&self) {
        let waits_for_sync = self.members.values().any(|member| member.parked_sync.is_some());
        let is_preparing = self.state == GroupState::PreparingRebalance;
        assert!(!waits_for_sync || self.state == GroupState::CompletingRebalance, "a sync waits in vain");
        assert!(self.initial_delay.is_none() || is_preparing, "an initial delay outlived its rebalance");
        assert_eq!(self.join_timer.is_some(), is_preparing, "the join timer runs in {:?}", self.state);
        assert!(self.sync_timer.is_none() || !self.pending_sync.is_empty(), "nobody is to sync");
        match self.state {
            GroupState::Empty => assert!(self.members.is_empty(), "an empty group with members"),
            GroupState::PreparingRebalance => assert!(self.pending_sync.is_empty()),
            GroupState::CompletingRebalance | GroupState::Stable => {
                assert!(!self.members.is_empty(), "a generation of nobody");
                let offered = self.protocol_name.as_ref().and_then(|name| self.offers.get(name));
                assert_eq!(offered, Some(&self.members.len()), "not everybody offers the chosen protocol");
            }
        }
    }

    fn check_timers(&self, timers: &TimerQueue) {
        let check = |timer: Option<&Timer>, guards: Guards| {
            let key = TimerKey { group_id: Arc::clone(&self.id), guards };
            assert!(timer.is_none_or(|timer| timers.holds(timer, &key)), "{key:?} is not queued");
        };
        check(self.join_timer.as_ref(), Guards::Join);
        check(self.sync_timer.as_ref(), Guards::Sync);
        for (id, session) in &self.pending_members {
            assert!(session.is_some(), "nothing ends the wait for {id}");
            check(session.as_ref(), Guards::Session(Arc::clone(id)));
        }
        for (id, member) in &self.members {
            assert!(member.session.is_some() || member.is_excused(), "nothing ends the session of {id}");
            check(member.session.as_ref(), Guards::Session(Arc::clone(id)));
        }
    }
}
