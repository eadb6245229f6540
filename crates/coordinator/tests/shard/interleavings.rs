//! Members that do anything in any order, over a log that fails, lags and forgets what was not committed.
//!
//! Checked all the while: the shard's invariants; that no request is answered twice, and none is forgotten; that a
//! generation has one leader, and that a member is given what the leader of its own generation gave it; that
//! generations only rise; that a committed offset is never lost and never goes back, whatever is replayed; and that a
//! shard that replays the log stands where the one that wrote it stands.

use std::collections::{BTreeMap, BTreeSet};

use crate::driver::{Driver, Event};
use klamm_coordinator::{Answer, GroupSettings, Moment, Response, Shard, Step};
use klamm_protocol::ErrorCode;
use klamm_protocol::coordinator_record::{GroupKey, GroupValue};
use klamm_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use klamm_protocol::messages::leave_group_request::MemberIdentity;
use klamm_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use klamm_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use klamm_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use klamm_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use klamm_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest,
    SyncGroupRequest,
};
use proptest::prelude::*;

const GROUP: &str = "g";
const TOPIC: &str = "t";
/// The instance ids of the clients. The last two are both the same instance.
const INSTANCES: [Option<&str>; 5] = [None, None, Some("two"), Some("three"), Some("three")];

#[derive(Debug, Clone)]
enum Op {
    Join { client: usize, version: i16, forgets_id: bool, protocols: usize, size: u8 },
    Sync { client: usize, generation_by: i32 },
    Heartbeat { client: usize },
    Leave { client: usize },
    Commit { client: usize },
    SimpleCommit,
    Fetch,
    Advance { ms: i64 },
    Hold,
    CommitOne,
    Release,
    FailNextAppend,
    Delete,
    Restart { loses_uncommitted: bool },
}

fn op() -> impl Strategy<Value = Op> {
    let client = 0..INSTANCES.len();
    prop_oneof![
        8 => (client.clone(), prop_oneof![Just(0_i16), Just(3), Just(5), Just(8), Just(9)], prop::bool::weighted(0.15), 0..3_usize, 0..3_u8)
            .prop_map(|(client, version, forgets_id, protocols, size)| Op::Join { client, version, forgets_id, protocols, size }),
        8 => (client.clone(), prop_oneof![9 => Just(0), 1 => Just(-1)])
            .prop_map(|(client, generation_by)| Op::Sync { client, generation_by }),
        3 => client.clone().prop_map(|client| Op::Heartbeat { client }),
        1 => client.clone().prop_map(|client| Op::Leave { client }),
        3 => client.prop_map(|client| Op::Commit { client }),
        1 => Just(Op::SimpleCommit),
        2 => Just(Op::Fetch),
        4 => prop_oneof![Just(1), Just(500), Just(3_000), Just(10_000)].prop_map(|ms| Op::Advance { ms }),
        2 => Just(Op::Hold),
        3 => Just(Op::CommitOne),
        2 => Just(Op::Release),
        1 => Just(Op::FailNextAppend),
        1 => Just(Op::Delete),
        1 => any::<bool>().prop_map(|loses_uncommitted| Op::Restart { loses_uncommitted }),
    ]
}

/// What a client knows.
#[derive(Debug, Default, Clone)]
struct Client {
    id: String,
    generation: i32,
    protocol: Option<String>,
    /// Whom to assign to; not empty in a leader.
    members: Vec<String>,
}

/// What a request was about.
#[derive(Debug, Clone)]
enum Asked {
    Join {
        client: usize,
    },
    Sync {
        member_id: Option<String>,
        generation: i32,
    },
    Commit {
        offset: i64,
    },
    /// No bound where offsets were deleted since it was asked.
    Fetch {
        at_least: Option<i64>,
    },
    Other,
}

struct World {
    driver: Driver,
    settings: GroupSettings,
    clients: Vec<Client>,
    asked: BTreeMap<u64, Asked>,
    answered: BTreeSet<u64>,
    /// By generation, since the last restart: who was told to assign.
    leaders: BTreeMap<i32, String>,
    newest_generation: i32,
    /// Where in the log each offset was committed.
    logged_at: BTreeMap<i64, i64>,
    /// The next offset to commit; it only rises.
    next_offset: i64,
    /// The largest offset that was told to be committed, if nobody deleted it since.
    acknowledged: i64,
    /// The log may lack what the live group went through, because an append failed or was given up.
    is_log_behind: bool,
    random: u128,
}

impl World {
    fn new() -> Self {
        let settings = GroupSettings { group_initial_rebalance_delay_ms: 400, ..GroupSettings::default() };
        Self {
            driver: Driver::new(settings.clone()),
            settings,
            clients: vec![Client::default(); INSTANCES.len()],
            asked: BTreeMap::new(),
            answered: BTreeSet::new(),
            leaders: BTreeMap::new(),
            newest_generation: 0,
            logged_at: BTreeMap::new(),
            next_offset: 1,
            acknowledged: -1,
            is_log_behind: false,
            random: 0,
        }
    }

    fn run(&mut self, op: Op) {
        let mut events = Vec::new();
        let failures = self.driver.append_failures;
        match op {
            Op::Join { client, version, forgets_id, protocols, size } => {
                self.join(client, version, forgets_id, protocols, size, &mut events);
            }
            Op::Sync { client, generation_by } => self.sync(client, generation_by, &mut events),
            Op::Heartbeat { client } => self.heartbeat(client, &mut events),
            Op::Leave { client } => self.leave(client, &mut events),
            Op::Commit { client } => {
                let Client { id, generation, .. } = self.clients[client].clone();
                self.commit(&id, generation, &mut events);
            }
            Op::SimpleCommit => self.commit("", -1, &mut events),
            Op::Fetch => self.fetch(&mut events),
            Op::Advance { ms } => self.driver.advance(ms, &mut events),
            Op::Hold => self.driver.holds_commits = true,
            Op::CommitOne => self.driver.commit_one(&mut events),
            Op::Release => {
                self.driver.holds_commits = false;
                self.driver.commit(&mut events);
            }
            Op::FailNextAppend => self.driver.next_append_error = Some(ErrorCode::NOT_ENOUGH_REPLICAS),
            Op::Delete => self.delete(&mut events),
            Op::Restart { loses_uncommitted } => self.restart(loses_uncommitted, &mut events),
        }
        self.driver.run_timers(&mut events);
        self.driver.shard.check_invariants();
        self.take_in(events);
        self.is_log_behind |= self.driver.append_failures > failures;
        self.compare_with_replay();
    }

    fn drive(&mut self, asked: Asked, step: Step<'_>, events: &mut Vec<Event>) {
        self.asked.insert(self.driver.last_request(), asked);
        self.driver.drive(step, events);
    }

    fn join(
        &mut self,
        client: usize,
        version: i16,
        forgets: bool,
        protocols: usize,
        size: u8,
        events: &mut Vec<Event>,
    ) {
        let instance = INSTANCES[client].filter(|_| version >= 5);
        let offers: &[&str] = [&["a", "b"][..], &["b", "a"], &["b"]][protocols];
        let protocols = offers.iter().map(|name| JoinGroupRequestProtocol {
            name: (*name).into(),
            metadata: vec![0; usize::from(size)].into(),
        });
        let known = if forgets { "" } else { &self.clients[client].id };
        let request = JoinGroupRequest {
            group_id: GROUP.into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
            member_id: known.to_owned().into(),
            group_instance_id: instance.map(Into::into),
            protocol_type: "consumer".into(),
            protocols: protocols.collect(),
            ..JoinGroupRequest::default()
        };
        self.random += 1;
        let context = self.driver.context(version, "client");
        let step = self.driver.shard.join_group(&context, &request, self.random);
        self.drive(Asked::Join { client }, step, events);
    }

    fn sync(&mut self, client: usize, generation_by: i32, events: &mut Vec<Event>) {
        let Client { id, generation, protocol, members } = self.clients[client].clone();
        let generation_id = generation + generation_by;
        let assignments = members.iter().map(|member| SyncGroupRequestAssignment {
            member_id: member.clone().into(),
            assignment: format!("{generation_id} {member} {id}").into_bytes().into(),
        });
        let request = SyncGroupRequest {
            group_id: GROUP.into(),
            generation_id,
            member_id: id.clone().into(),
            group_instance_id: None,
            protocol_type: Some("consumer".into()),
            protocol_name: protocol.map(Into::into),
            assignments: assignments.collect(),
        };
        // A static member gets what was given to the one whose place it took.
        let member_id = INSTANCES[client].is_none().then_some(id);
        let asked = Asked::Sync { member_id, generation: generation_id };
        let context = self.driver.context(4, "client");
        let step = self.driver.shard.sync_group(&context, &request);
        self.drive(asked, step, events);
    }

    fn heartbeat(&mut self, client: usize, events: &mut Vec<Event>) {
        let Client { id, generation, .. } = self.clients[client].clone();
        let request = HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: generation,
            member_id: id.into(),
            group_instance_id: None,
        };
        let context = self.driver.context(4, "client");
        let step = self.driver.shard.heartbeat(&context, &request);
        self.drive(Asked::Other, step, events);
    }

    fn leave(&mut self, client: usize, events: &mut Vec<Event>) {
        let member_id = self.clients[client].id.clone().into();
        let request = LeaveGroupRequest {
            group_id: GROUP.into(),
            members: vec![MemberIdentity { member_id, ..MemberIdentity::default() }],
            ..LeaveGroupRequest::default()
        };
        let context = self.driver.context(5, "client");
        let step = self.driver.shard.leave_group(&context, &request);
        self.drive(Asked::Other, step, events);
    }

    fn commit(&mut self, member_id: &str, generation: i32, events: &mut Vec<Event>) {
        let offset = self.next_offset;
        self.next_offset += 1;
        let request = OffsetCommitRequest {
            group_id: GROUP.into(),
            generation_id_or_member_epoch: generation,
            member_id: member_id.into(),
            topics: vec![OffsetCommitRequestTopic {
                name: TOPIC.into(),
                partitions: vec![OffsetCommitRequestPartition {
                    committed_offset: offset,
                    committed_metadata: None,
                    ..OffsetCommitRequestPartition::default()
                }],
                ..OffsetCommitRequestTopic::default()
            }],
            ..OffsetCommitRequest::default()
        };
        let context = self.driver.context(9, "client");
        let step = self.driver.shard.offset_commit(&context, &request);
        self.drive(Asked::Commit { offset }, step, events);
    }

    fn fetch(&mut self, events: &mut Vec<Event>) {
        let context = self.driver.context(9, "client");
        let step = self.driver.shard.offset_fetch(&context, &fetch_all(), true);
        self.drive(Asked::Fetch { at_least: Some(self.acknowledged) }, step, events);
    }

    fn delete(&mut self, events: &mut Vec<Event>) {
        let context = self.driver.context(2, "client");
        let step = self.driver.shard.delete_groups(&context, &[GROUP]);
        if step.write.is_some() {
            self.forget_offsets();
        }
        self.drive(Asked::Other, step, events);
    }

    /// Fetches that still wait may find nothing, and commits that still wait are deleted already.
    fn forget_offsets(&mut self) {
        self.acknowledged = -1;
        for asked in self.asked.values_mut() {
            match asked {
                Asked::Fetch { at_least } => *at_least = None,
                Asked::Commit { offset } => *offset = -1,
                _ => {}
            }
        }
    }

    fn restart(&mut self, loses_uncommitted: bool, events: &mut Vec<Event>) {
        let answers = self.driver.shard.unload(self.driver.now());
        events.extend(answers.into_iter().map(Event::Answered));
        if loses_uncommitted {
            self.driver.log.truncate(self.driver.committed);
        }
        self.driver.committed = self.driver.log.len();
        self.driver.shard = self.driver.replayed(self.settings.clone());
        self.is_log_behind = false;
        self.take_in(std::mem::take(events));
        self.begin_anew();
    }

    /// Generations that were not written down, or were deleted, happen again, to others.
    fn begin_anew(&mut self) {
        self.leaders.clear();
        self.newest_generation = 0;
    }

    fn take_in(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Logged(at, record) => {
                    if let Some(GroupValue::OffsetCommit(value)) = &record.value {
                        self.logged_at.insert(value.offset, at);
                    }
                    if matches!(record.key, GroupKey::GroupMetadata(_)) {
                        self.is_log_behind = false;
                        if record.value.is_none() {
                            self.begin_anew();
                        }
                    }
                }
                Event::Answered(answer) => self.check_answer(answer),
            }
        }
    }

    fn check_answer(&mut self, Answer { request, response }: Answer) {
        assert!(self.answered.insert(request.0), "{request:?} is answered twice");
        match (self.asked[&request.0].clone(), response) {
            (Asked::Join { client }, Response::JoinGroup(response)) => self.check_join(client, &response),
            (Asked::Sync { member_id, generation }, Response::SyncGroup(response)) => {
                self.is_log_behind |= response.error_code == ErrorCode::COORDINATOR_NOT_AVAILABLE;
                self.check_assignment(member_id.as_deref(), generation, &response.assignment);
            }
            (Asked::Commit { offset }, Response::OffsetCommit(response)) => {
                if response.topics[0].partitions[0].error_code == ErrorCode::NONE {
                    let is_committed = |at: &i64| *at < self.driver.committed as i64;
                    assert!(
                        offset == -1 || is_committed(&self.logged_at[&offset]),
                        "{offset} is told too early"
                    );
                    self.acknowledged = self.acknowledged.max(offset);
                }
            }
            (Asked::Fetch { at_least: Some(at_least) }, Response::OffsetFetch(response)) => {
                if response.error_code == ErrorCode::NONE {
                    let topic = response.topics.first();
                    let found = topic.map_or(-1, |topic| topic.partitions[0].committed_offset);
                    assert!(found >= at_least, "{found} was fetched after {at_least} was told");
                    self.acknowledged = self.acknowledged.max(found);
                }
            }
            (Asked::Fetch { at_least: None }, Response::OffsetFetch(_)) => {}
            (Asked::Other, _) => {}
            (asked, response) => panic!("{asked:?} is answered with {response:?}"),
        }
    }

    fn check_assignment(&self, member_id: Option<&str>, generation: i32, assignment: &[u8]) {
        if assignment.is_empty() {
            return;
        }
        let text = std::str::from_utf8(assignment).expect("as it was given");
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(words[0], generation.to_string(), "an assignment of another generation");
        assert!(member_id.is_none_or(|member_id| member_id == words[1]), "the assignment of {}", words[1]);
        let leader = self.leaders.get(&generation);
        assert!(leader.is_none_or(|leader| leader == words[2]), "an assignment by {}", words[2]);
    }

    fn check_join(&mut self, client: usize, response: &JoinGroupResponse<'_>) {
        self.is_log_behind |= response.error_code == ErrorCode::COORDINATOR_NOT_AVAILABLE;
        if response.error_code == ErrorCode::MEMBER_ID_REQUIRED {
            self.clients[client].id = response.member_id.to_string();
        }
        if response.error_code != ErrorCode::NONE {
            return;
        }
        let generation = response.generation_id;
        assert!(
            generation >= self.newest_generation,
            "generation {generation} after {}",
            self.newest_generation
        );
        self.newest_generation = generation;
        if !response.members.is_empty() && !response.skip_assignment {
            let leader = self.leaders.entry(generation).or_insert_with(|| response.leader.to_string());
            assert_eq!(*leader, *response.leader, "generation {generation} has two leaders");
            assert_eq!(response.member_id, response.leader);
        }
        self.clients[client] = Client {
            id: response.member_id.to_string(),
            generation,
            protocol: response.protocol_name.as_deref().map(ToOwned::to_owned),
            members: response.members.iter().map(|member| member.member_id.to_string()).collect(),
        };
    }

    /// A shard that replays the whole log has the same offsets, and the same group wherever it stands still.
    fn compare_with_replay(&mut self) {
        let mut replayed = self.driver.replayed(self.settings.clone());
        if !self.driver.holds_commits {
            let now = self.driver.now();
            assert_eq!(offsets(&mut self.driver.shard, now), offsets(&mut replayed, now));
        }
        let live = self.driver.shard.describe_group(GROUP, 6);
        let stands_still = matches!(&*live.group_state, "Stable" | "Empty");
        if stands_still && !self.is_log_behind {
            assert_eq!(live, replayed.describe_group(GROUP, 6));
        }
    }

    /// Nobody waits for ever.
    fn finish(mut self) {
        let answers = self.driver.shard.unload(self.driver.now());
        self.take_in(answers.into_iter().map(Event::Answered).collect());
        let forgotten: Vec<_> =
            self.asked.keys().filter(|request| !self.answered.contains(request)).collect();
        assert!(forgotten.is_empty(), "{forgotten:?} were never answered");
    }
}

fn fetch_all() -> OffsetFetchRequestGroup<'static> {
    OffsetFetchRequestGroup { group_id: GROUP.into(), topics: None, ..OffsetFetchRequestGroup::default() }
}

/// The group's offsets; none while they wait to be committed.
fn offsets(shard: &mut Shard, now: Moment) -> Option<OffsetFetchResponseGroup<'static>> {
    let context = klamm_coordinator::RequestContext {
        request: klamm_coordinator::RequestId(u64::MAX),
        api_version: 9,
        client_id: "",
        client_host: "",
        now,
    };
    match shard.offset_fetch(&context, &fetch_all(), false).answers.pop()?.response {
        Response::OffsetFetch(group) => Some(group),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn nothing_goes_wrong_in_any_order(ops in prop::collection::vec(op(), 1..150)) {
        let mut world = World::new();
        for op in ops {
            world.run(op);
        }
        world.finish();
    }
}
