//! A member's life as lists of actions.

use super::*;

fn membership(assignors: &[Assignor]) -> Membership {
    let mut membership = Membership::new(MembershipConfig {
        instance_id: None,
        assignors: assignors.to_vec(),
        heartbeat_interval_ms: 3000,
        retry_backoff_ms: 100,
    });
    membership.subscribe(vec!["t".to_owned()]);
    membership
}

fn partitions(indexes: &[i32]) -> Vec<TopicPartition> {
    indexes.iter().map(|index| TopicPartition::new("t", *index)).collect()
}

fn assignment(indexes: &[i32]) -> Vec<u8> {
    subscription::encode_assignment(&partitions(indexes)).expect("encodes")
}

/// The kinds of what is to be done, so that tests read as a script.
fn kinds(actions: &[Action]) -> Vec<String> {
    let list = |partitions: &[TopicPartition]| {
        partitions.iter().map(|p| p.partition.to_string()).collect::<Vec<_>>().join(",")
    };
    let kind = |action: &Action| match action {
        Action::FindCoordinator => "find".to_owned(),
        Action::Join(join) => format!("join as {:?}", join.member_id),
        Action::CountPartitions(topics) => format!("count {}", topics.join(",")),
        Action::Sync(sync) => format!("sync {} assignments", sync.assignments.len()),
        Action::Heartbeat(identity) => format!("heartbeat {}", identity.generation),
        Action::GiveUp(partitions) => format!("give up {}", list(partitions)),
        Action::Lost(partitions) => format!("lost {}", list(partitions)),
        Action::Assigned(partitions) => format!("assigned {}", list(partitions)),
        Action::Leave(member_id) => format!("leave as {member_id:?}"),
        Action::Failed(code) => format!("failed {code}"),
    };
    actions.iter().map(kind).collect()
}

fn joined(generation: i32, protocol: &str) -> Joined {
    Joined {
        generation,
        protocol: protocol.to_owned(),
        leader: "other".to_owned(),
        member_id: "me".to_owned(),
        ..Joined::default()
    }
}

/// A member that waits for the answer to its first JoinGroup.
fn joining() -> Membership {
    let mut membership = membership(&[Assignor::Range]);
    membership.poll(0);
    membership.coordinator_found(true, 0);
    membership.poll(0);
    membership
}

/// The assignment is that of before; whether it still fits is for the leader to see.
#[test]
fn a_static_leader_that_comes_back_looks_after_the_topics() {
    let mut membership = joining();
    membership.joined(Joined { skip_assignment: true, ..joined_as_leader(1, &["me"], "t") }, 0);
    let mut told = kinds(&membership.poll(0));
    told.sort();
    assert_eq!(told, ["count t", "sync 0 assignments"]);
    membership.counted(&BTreeMap::from([("t".to_owned(), 1)]));
    membership.synced(ErrorCode::NONE, &assignment(&[0]), 0);
    assert_eq!(kinds(&membership.poll(0)), ["assigned 0"]);
}

/// Refused, but with a name to come back under.
fn named() -> Joined {
    Joined { code: ErrorCode::MEMBER_ID_REQUIRED, member_id: "me".to_owned(), ..Joined::default() }
}

/// Made the leader of these members, who all want one topic.
fn joined_as_leader(generation: i32, members: &[&str], topic: &str) -> Joined {
    let subscription =
        subscription::encode_subscription(Assignor::Range, &[topic.to_owned()], &[], -1).expect("encodes");
    let members = members.iter().map(|id| ((*id).to_owned(), None, subscription.clone()));
    Joined { leader: "me".to_owned(), members: members.collect(), ..joined(generation, "range") }
}

/// Goes through join and sync as a plain member.
fn settle(membership: &mut Membership, generation: i32, protocol: &str, indexes: &[i32], now_ms: i64) {
    membership.joined(joined(generation, protocol), now_ms);
    assert_eq!(kinds(&membership.poll(now_ms)), ["sync 0 assignments"]);
    membership.synced(ErrorCode::NONE, &assignment(indexes), now_ms);
}

/// A member that holds `indexes` in generation 1 since time 0.
fn stable(assignor: Assignor, indexes: &[i32]) -> Membership {
    let mut membership = membership(&[assignor]);
    assert_eq!(kinds(&membership.poll(0)), ["find"]);
    membership.coordinator_found(true, 0);
    assert_eq!(kinds(&membership.poll(0)), ["join as \"\""]);
    settle(&mut membership, 1, assignor.name(), indexes, 0);
    assert_eq!(membership.poll(0).len(), 1);
    assert!(membership.is_stable());
    membership
}

#[test]
fn a_new_member_asks_for_a_name_first() {
    let mut membership = membership(&[Assignor::Range]);
    assert_eq!(kinds(&membership.poll(0)), ["find"]);
    assert_eq!(kinds(&membership.poll(0)), Vec::<String>::new(), "one look-up at a time");
    membership.coordinator_found(false, 0);
    assert_eq!((kinds(&membership.poll(99)).len(), membership.next_ms()), (0, Some(100)));
    assert_eq!(kinds(&membership.poll(100)), ["find"]);
    membership.coordinator_found(true, 100);
    assert_eq!(kinds(&membership.poll(100)), ["join as \"\""]);
    membership.joined(named(), 110);
    assert_eq!(kinds(&membership.poll(110)), ["join as \"me\""]);
    settle(&mut membership, 1, "range", &[0, 1], 120);
    assert_eq!(kinds(&membership.poll(120)), ["assigned 0,1"]);
    assert_eq!(membership.next_ms(), Some(3120));
    assert_eq!(kinds(&membership.poll(3120)), ["heartbeat 1"]);
    assert_eq!(membership.next_ms(), None, "until it is answered");
    membership.heartbeat_answered(ErrorCode::NONE, 3130);
    assert_eq!(membership.next_ms(), Some(6130));
}

#[test]
fn the_leader_assigns() {
    let mut membership = joining();
    membership.joined(joined_as_leader(1, &["me", "other"], "t"), 0);
    assert_eq!(kinds(&membership.poll(0)), ["count t"]);
    membership.counted(&[("t".to_owned(), 3)].into());
    let actions = membership.poll(0);
    let [Action::Sync(sync)] = actions.as_slice() else { panic!("{actions:?}") };
    let given: Vec<_> = sync.assignments.iter().map(|(id, bytes)| (id.as_str(), bytes.clone())).collect();
    assert_eq!(given, [("me", assignment(&[0, 1])), ("other", assignment(&[2]))]);
}

#[test]
fn an_eager_member_gives_everything_up_before_it_joins_again() {
    let mut membership = stable(Assignor::Range, &[0, 1]);
    membership.heartbeat_answered(ErrorCode::REBALANCE_IN_PROGRESS, 10);
    assert_eq!(kinds(&membership.poll(10)), ["give up 0,1"]);
    assert_eq!(kinds(&membership.poll(3010)), ["heartbeat 1"], "the session is kept alive meanwhile");
    membership.heartbeat_answered(ErrorCode::REBALANCE_IN_PROGRESS, 3020);
    assert_eq!(kinds(&membership.poll(3020)), Vec::<String>::new());
    membership.gave_up();
    assert_eq!(kinds(&membership.poll(3030)), ["join as \"me\""]);
    settle(&mut membership, 2, "range", &[1], 3040);
    assert_eq!(kinds(&membership.poll(3040)), ["assigned 1"]);
}

#[test]
fn a_cooperative_member_keeps_what_it_may() {
    let mut membership = stable(Assignor::CooperativeSticky, &[0, 1]);
    membership.heartbeat_answered(ErrorCode::REBALANCE_IN_PROGRESS, 10);
    assert_eq!(kinds(&membership.poll(10)), ["join as \"me\""]);
    settle(&mut membership, 2, "cooperative-sticky", &[1], 20);
    assert_eq!(kinds(&membership.poll(20)), ["assigned ", "give up 0"]);
    membership.gave_up();
    let actions = membership.poll(30);
    let [Action::Join(join)] = actions.as_slice() else { panic!("{actions:?}") };
    let told = subscription::decode_subscription(&join.protocols[0].1).expect("decodes");
    assert_eq!((told.owned, told.generation), (partitions(&[1]), 2));
}

#[test]
fn refusals() {
    let table = [
        (ErrorCode::UNKNOWN_MEMBER_ID, vec!["lost 0", "join as \"\""]),
        (ErrorCode::ILLEGAL_GENERATION, vec!["lost 0", "join as \"me\""]),
        (ErrorCode::FENCED_INSTANCE_ID, vec!["lost 0", "failed FENCED_INSTANCE_ID"]),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, vec!["lost 0", "failed GROUP_AUTHORIZATION_FAILED"]),
        (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, vec!["heartbeat 1"]),
        (ErrorCode::NOT_COORDINATOR, vec!["find"]),
    ];
    for (code, expected) in table {
        let mut membership = stable(Assignor::Range, &[0]);
        membership.heartbeat_answered(code, 0);
        assert_eq!(kinds(&membership.poll(3000)), expected, "{code}");
    }
}

#[test]
fn a_lost_coordinator_does_not_end_the_membership() {
    let mut membership = stable(Assignor::Range, &[0]);
    assert_eq!(kinds(&membership.poll(3000)), ["heartbeat 1"]);
    membership.unanswered(true, 3001);
    assert_eq!(kinds(&membership.poll(3101)), ["find"]);
    membership.coordinator_found(true, 3110);
    assert_eq!(kinds(&membership.poll(3110)), ["heartbeat 1"]);
    membership.heartbeat_answered(ErrorCode::NONE, 3120);
    assert!(membership.is_stable());
}

#[test]
fn a_cut_join_is_sent_again() {
    let mut membership = joining();
    membership.unanswered(false, 0);
    assert_eq!(kinds(&membership.poll(100)), ["find"]);
    membership.coordinator_found(true, 100);
    assert_eq!(kinds(&membership.poll(100)), ["join as \"\""]);
    membership.joined(joined(1, "unheard-of"), 100);
    assert_eq!(kinds(&membership.poll(100)), ["failed INCONSISTENT_GROUP_PROTOCOL"]);
}

#[test]
fn a_changed_subscription_joins_again() {
    let mut membership = stable(Assignor::Range, &[0]);
    membership.subscribe(vec!["t".to_owned()]);
    assert!(membership.is_stable(), "nothing has changed");
    membership.subscribe(vec!["u".to_owned()]);
    assert_eq!(kinds(&membership.poll(0)), ["give up 0"]);
    membership.gave_up();
    assert_eq!(kinds(&membership.poll(0)), ["join as \"me\""]);
    membership.subscribe(Vec::new());
    assert_eq!(
        (kinds(&membership.poll(0)), membership.next_ms()),
        (vec!["leave as \"me\"".to_owned()], None)
    );
}

#[test]
fn a_subscription_that_changes_on_the_way_waits_for_the_answer() {
    let nothing = Vec::<String>::new();
    let mut membership = membership(&[Assignor::Range]);
    membership.poll(0);
    membership.coordinator_found(true, 0);
    assert_eq!(kinds(&membership.poll(0)), ["join as \"\""]);
    membership.subscribe(vec!["u".to_owned()]);
    assert_eq!((kinds(&membership.poll(0)), membership.next_ms()), (nothing.clone(), None));
    membership.joined(named(), 0);
    assert_eq!(kinds(&membership.poll(0)), ["join as \"me\""]);
    membership.subscribe(vec!["v".to_owned()]);
    assert_eq!((kinds(&membership.poll(0)), membership.next_ms()), (nothing.clone(), None));
    membership.joined(joined(1, "range"), 0);
    assert_eq!(kinds(&membership.poll(0)), ["join as \"me\""]);
    membership.joined(joined(2, "range"), 0);
    assert_eq!(kinds(&membership.poll(0)), ["sync 0 assignments"]);
    membership.subscribe(vec!["t".to_owned()]);
    assert_eq!((kinds(&membership.poll(0)), membership.next_ms()), (nothing, None));
    membership.synced(ErrorCode::NONE, &assignment(&[0]), 0);
    assert_eq!(kinds(&membership.poll(0)), ["join as \"me\""]);
    settle(&mut membership, 3, "range", &[1], 0);
    assert_eq!(kinds(&membership.poll(0)), ["assigned 1"]);
}

#[test]
fn a_name_that_comes_after_unsubscribing_is_given_back() {
    let mut membership = membership(&[Assignor::Range]);
    membership.poll(0);
    membership.coordinator_found(true, 0);
    assert_eq!(kinds(&membership.poll(0)), ["join as \"\""]);
    membership.subscribe(Vec::new());
    assert_eq!(kinds(&membership.poll(0)), Vec::<String>::new());
    membership.joined(named(), 0);
    assert_eq!(kinds(&membership.poll(0)), ["leave as \"me\""]);
}

#[test]
fn the_leader_assigns_by_what_it_has_asked_for_last() {
    let mut membership = joining();
    membership.joined(joined_as_leader(1, &["me"], "t"), 0);
    assert_eq!(kinds(&membership.poll(0)), ["count t"]);
    membership.subscribe(vec!["u".to_owned()]);
    assert_eq!(kinds(&membership.poll(0)), ["join as \"me\""]);
    membership.joined(joined_as_leader(2, &["me"], "u"), 0);
    assert_eq!(kinds(&membership.poll(0)), Vec::<String>::new(), "the first count is still on its way");
    membership.counted(&[("t".to_owned(), 3)].into());
    assert_eq!(kinds(&membership.poll(0)), ["count u"]);
    membership.counted(&[("u".to_owned(), 1)].into());
    let actions = membership.poll(0);
    let [Action::Sync(sync)] = actions.as_slice() else { panic!("{actions:?}") };
    let given = subscription::encode_assignment(&[TopicPartition::new("u", 0)]).expect("encodes");
    assert_eq!(sync.assignments, [("me".to_owned(), given)]);
}
