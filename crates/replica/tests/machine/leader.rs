//! Single steps.

use klamm_replica::{FetchRefused, FollowerFetch, IsrProposal, Leader, LeaderStep, Moment, ProposalAnswer};

use crate::partition::{LAG_MS, moment, partition};

/// The epoch of every broker.
fn all_live(id: i32) -> Option<i64> {
    Some(100 + i64::from(id))
}

/// Broker 1 leads 1, 2, 3 in epoch 5 from offset 10 on.
fn leader(isr: &[i32]) -> Leader {
    Leader::new(1, &partition(1, (5, 7), &[1, 2, 3], isr), all_live, moment(0, 10, 10))
}

fn fetch(replica_id: i32, fetch_offset: i64) -> FollowerFetch {
    let broker_epoch = 100 + i64::from(replica_id);
    FollowerFetch { replica_id, broker_epoch, fetch_offset, log_start_offset: 0 }
}

fn advance(high_watermark: i64) -> LeaderStep {
    LeaderStep { high_watermark: Some(high_watermark), proposal: None }
}

fn propose(partition_epoch: i32, isr: &[(i32, i64)]) -> LeaderStep {
    LeaderStep { high_watermark: None, proposal: Some(proposed(partition_epoch, isr)) }
}

fn proposed(partition_epoch: i32, isr: &[(i32, i64)]) -> IsrProposal {
    IsrProposal { leader_epoch: 5, partition_epoch, isr: isr.to_vec() }
}

fn altered(partition_epoch: i32, isr: &[i32]) -> ProposalAnswer {
    ProposalAnswer::Altered { leader_epoch: 5, partition_epoch, isr: isr.to_vec() }
}

#[test]
fn records_are_committed_when_all_in_sync_replicas_fetched_beyond_them() {
    let mut leader = leader(&[1, 2, 3]);
    assert_eq!(leader.appended(moment(0, 10, 14)), LeaderStep::default());
    assert_eq!(leader.fetched(fetch(2, 14), moment(1, 10, 14)), Ok(LeaderStep::default()));
    assert_eq!(leader.fetched(fetch(3, 12), moment(2, 10, 14)), Ok(advance(12)));
    assert_eq!(leader.fetched(fetch(3, 14), moment(3, 12, 14)), Ok(advance(14)));
    assert_eq!(leader.low_watermark(4), 0);
}

#[test]
fn the_leaders_own_copy_counts_once_it_is_written() {
    let mut leader = leader(&[1, 2]);
    let unflushed = Moment { own_offset: 12, ..moment(0, 10, 14) };
    assert_eq!(leader.fetched(fetch(2, 14), unflushed), Ok(advance(12)));
    assert_eq!(leader.appended(moment(0, 12, 14)), advance(14));
}

#[test]
fn an_isr_below_the_minimum_commits_nothing() {
    let mut leader = leader(&[1]);
    let strict = |moment| Moment { min_insync_replicas: 2, ..moment };
    assert_eq!(leader.appended(strict(moment(0, 10, 12))), LeaderStep::default());
    assert_eq!(leader.appended(moment(0, 10, 12)), advance(12));
    let joining = leader.fetched(fetch(2, 12), strict(moment(0, 10, 12)));
    assert_eq!(joining, Ok(propose(7, &[(1, 101), (2, 102)])), "what is proposed does not count yet");
    let pending = proposed(7, &[(1, 101), (2, 102)]);
    let answered = leader.proposal_answered(&pending, altered(8, &[1, 2]), strict(moment(0, 10, 12)));
    assert_eq!(answered, advance(12));
    assert_eq!((leader.min_isr(9), leader.isr(), leader.partition_epoch()), (3, &[1, 2][..], 8));
}

#[test]
fn who_may_join_is_waited_for_from_the_proposal_on() {
    let mut leader = leader(&[1]);
    assert_eq!(leader.fetched(fetch(2, 10), moment(1, 10, 10)), Ok(propose(7, &[(1, 101), (2, 102)])));
    assert_eq!((leader.isr(), leader.maximal_isr_len()), (&[1][..], 2));
    assert_eq!(leader.appended(moment(2, 10, 15)), LeaderStep::default());
    assert_eq!(leader.fetched(fetch(3, 15), moment(3, 10, 15)), Ok(LeaderStep::default()), "one at a time");
    let pending = proposed(7, &[(1, 101), (2, 102)]);
    let earlier = IsrProposal { leader_epoch: 4, ..pending.clone() };
    let answered = leader.proposal_answered(&earlier, altered(8, &[1, 2]), moment(4, 10, 15));
    assert_eq!(answered, LeaderStep::default());
    let answered = leader.proposal_answered(&pending, ProposalAnswer::Outdated, moment(4, 10, 15));
    assert_eq!(answered, LeaderStep::default());
    assert_eq!(leader.proposal(), Some(&pending), "the metadata will tell");
    let refused =
        leader.proposal_answered(&pending, ProposalAnswer::NotAttempted, moment(LAG_MS + 9, 10, 15));
    assert_eq!((refused, leader.proposal()), (advance(15), None));
}

/// The broker lost its tail since. Under the new epoch of its broker the controller would take it for one that has all.
#[test]
fn a_proposal_that_is_sent_again_names_the_incarnations_that_were_fit_to_join() {
    let mut leader = leader(&[1]);
    let _ = leader.fetched(fetch(2, 10), moment(1, 10, 10));
    let reborn = |id| Some(if id == 2 { 200 } else { 101 });
    let _ = leader.brokers_changed(reborn, moment(2, 10, 10));
    let behind = FollowerFetch { broker_epoch: 200, ..fetch(2, 4) };
    assert_eq!(leader.fetched(behind, moment(3, 10, 10)), Ok(LeaderStep::default()));
    assert_eq!(leader.proposal(), Some(&proposed(7, &[(1, 101), (2, 102)])));
}

#[test]
fn an_answer_to_an_earlier_proposal_leaves_the_one_on_its_way() {
    let mut leader = leader(&[1]);
    let first = leader.fetched(fetch(2, 10), moment(1, 10, 10)).unwrap().proposal.unwrap();
    let carried_out = partition(1, (5, 8), &[1, 2, 3], &[1, 2]);
    let _ = leader.update(&carried_out, all_live, moment(2, 10, 10));
    let second = leader.fetched(fetch(3, 10), moment(3, 10, 10)).unwrap().proposal.unwrap();
    for answer in [altered(8, &[1, 2]), ProposalAnswer::NotAttempted] {
        assert_eq!(leader.proposal_answered(&first, answer, moment(4, 10, 10)), LeaderStep::default());
        assert_eq!(leader.proposal(), Some(&second));
    }
    let late = moment(2 * LAG_MS, 10, 20);
    assert_eq!(leader.fetched(fetch(2, 20), late), Ok(LeaderStep::default()), "3 may be in sync already");
}

#[test]
fn who_lacks_something_or_may_not_be_in_sync_does_not_join() {
    let known = |unfit: i32| move |id| (id != unfit).then_some(100 + i64::from(id));
    let partition = partition(1, (5, 7), &[1, 2, 3], &[1]);
    let at = moment(1, 20, 30);
    let mut behind = Leader::new(1, &partition, all_live, moment(0, 20, 25));
    assert_eq!(behind.fetched(fetch(2, 19), at).unwrap().proposal, None, "below the high watermark");
    assert_eq!(behind.fetched(fetch(2, 24), at).unwrap().proposal, None, "below the epoch's start");
    assert!(behind.fetched(fetch(2, 25), at).unwrap().proposal.is_some());
    let mut fenced = Leader::new(1, &partition, known(2), moment(0, 20, 25));
    assert_eq!(fenced.fetched(fetch(2, 30), at).unwrap().proposal, None);
    let _ = fenced.brokers_changed(all_live, at);
    assert!(fenced.fetched(fetch(2, 30), at).unwrap().proposal.is_some());
    let mut reborn = Leader::new(1, &partition, all_live, moment(0, 20, 25));
    let later = FollowerFetch { broker_epoch: 200, ..fetch(2, 30) };
    assert_eq!(reborn.fetched(later, at).unwrap().proposal, None, "its registration is not known yet");
    let earlier = FollowerFetch { broker_epoch: 50, ..fetch(2, 30) };
    assert_eq!(reborn.fetched(earlier, at), Err(FetchRefused::StaleBroker(2)));
    assert_eq!(reborn.fetched(fetch(4, 30), at), Err(FetchRefused::NoReplica(4)));
    let silent = FollowerFetch { broker_epoch: -1, ..fetch(3, 30) };
    let proposal = reborn.fetched(silent, at).unwrap().proposal.unwrap();
    assert_eq!(proposal.isr, [(1, 101), (3, -1)]);
}

#[test]
fn who_lags_leaves() {
    let mut leader = leader(&[1, 2, 3]);
    for (id, at) in [(2, 12), (3, 10)] {
        let _ = leader.fetched(fetch(id, at), moment(10, 10, 12));
    }
    assert_eq!(leader.check_lag(moment(LAG_MS, 10, 12)), LeaderStep::default());
    let step = leader.check_lag(moment(LAG_MS + 1, 10, 12));
    assert_eq!(step, propose(7, &[(1, 101), (2, 102)]), "3 had all at the start, and then no more");
    assert_eq!(leader.check_lag(moment(LAG_MS + 2, 10, 12)), LeaderStep::default(), "one at a time");
    let pending = proposed(7, &[(1, 101), (2, 102)]);
    let answered = leader.proposal_answered(&pending, altered(8, &[1, 2]), moment(LAG_MS + 3, 10, 12));
    assert_eq!(answered, advance(12));
    assert_eq!(leader.check_lag(moment(9 * LAG_MS, 12, 12)), LeaderStep::default(), "2 has all there is");
}

#[test]
fn who_keeps_up_with_a_busy_leader_stays() {
    let mut leader = leader(&[1, 2]);
    for round in 1..20 {
        // Always at what was the end one fetch ago.
        let (now, end) = (round * LAG_MS / 2, 10 + 10 * round);
        let step = leader.fetched(fetch(2, end - 10), moment(now, end - 20, end));
        assert_eq!(step.unwrap().high_watermark, Some(end - 10));
        assert_eq!(leader.check_lag(moment(now + 1, end - 10, end)).proposal, None, "round {round}");
    }
}

#[test]
fn the_metadata_is_followed_forward_only() {
    let mut leader = leader(&[1]);
    let _ = leader.fetched(fetch(2, 10), moment(1, 10, 10));
    let same = partition(1, (5, 7), &[1, 2, 3], &[1]);
    let _ = leader.update(&same, all_live, moment(2, 10, 10));
    assert!(leader.proposal().is_some(), "the proposal may still be carried out");
    let moved = partition(1, (5, 9), &[1, 2, 4], &[1, 2]);
    let _ = leader.update(&moved, all_live, moment(3, 10, 10));
    assert_eq!((leader.isr(), leader.proposal()), (&[1, 2][..], None));
    assert!(leader.has_follower(4) && !leader.has_follower(3));
    let _ = leader.update(&same, all_live, moment(4, 10, 10));
    assert_eq!(leader.partition_epoch(), 9, "an older image");
    let elected = partition(1, (6, 10), &[1, 2, 4], &[1, 2]);
    let _ = leader.update(&elected, all_live, moment(5, 10, 30));
    assert_eq!((leader.leader_epoch(), leader.epoch_start_offset()), (6, 30));
    leader.check_invariants();
}

/// Broker 2 led epoch 6, and broker 3 was cut by it.
#[test]
fn what_followers_had_before_somebody_else_led_is_forgotten() {
    let mut leader = leader(&[1, 2, 3]);
    for id in [2, 3] {
        let _ = leader.fetched(fetch(id, 14), moment(1, 10, 14)).unwrap();
    }
    let mut next = leader.clone();
    let again = partition(1, (6, 8), &[1, 2, 3], &[1, 2, 3]);
    assert_eq!(next.update(&again, all_live, moment(2, 10, 14)), advance(14), "it led all along");
    let again = partition(1, (7, 9), &[1, 2, 3], &[1, 2, 3]);
    assert_eq!(leader.update(&again, all_live, moment(2, 10, 14)), LeaderStep::default());
    assert_eq!(leader.low_watermark(4), -1);
    assert_eq!(leader.fetched(fetch(2, 14), moment(3, 10, 14)), Ok(LeaderStep::default()));
    assert_eq!(leader.fetched(fetch(3, 14), moment(4, 10, 14)), Ok(advance(14)));
}
