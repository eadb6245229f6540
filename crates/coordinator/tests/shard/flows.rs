//! Whole flows as scripts: what members and administrators do, and all that comes of it.
//!
//! Each file in `flows/` is a script. A line that begins with `>` is a command, one with `#` a remark; the lines below a
//! command are what it leads to: answers (`r4` is the fourth request of the script) and records. `KLAMM_BLESS=1` writes
//! the files anew with what happens now; read the difference before you keep it.
//!
//! Commands: `settings key=value…`, `join`, `sync`, `heartbeat`, `leave`, `commit`, `fetch`, `offset-delete`, `delete`,
//! `list`, `describe`, `advance ms`, `set-clock ms` of the wall clock forward or back, `topics-deleted`, `hold` and `release` commits, `commit-one` record, `fail ERROR` the
//! next append, `restart` with what is in the log, `resign`. Members are named by a handle such as `a`, whose id is `a.1` for the
//! first id it was given; `join a` joins with the id last given to it, `join a new` with none.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::driver::{Driver, Event};
use crate::flow_text::topics;
use klamm_coordinator::{Answer, GroupSettings, Response, Step};
use klamm_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use klamm_protocol::messages::leave_group_request::MemberIdentity;
use klamm_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use klamm_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use klamm_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use klamm_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use klamm_protocol::messages::*;
use klamm_protocol::{Encode, ErrorCode, Uuid, Writer};

#[test]
fn flows_come_out_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shard/flows");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of scripts")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let script = std::fs::read_to_string(&file).expect("a readable script");
        let outcome = Flow::new().run(&script);
        if std::env::var_os("KLAMM_BLESS").is_some() {
            std::fs::write(&file, &outcome).expect("a writable script");
            continue;
        }
        assert_eq!(outcome, script, "{} comes out differently", file.display());
    }
}

/// A script in progress.
pub(crate) struct Flow {
    driver: Driver,
    settings: GroupSettings,
    /// Ids by handle.
    ids: BTreeMap<String, String>,
    /// Handles with a number, by id.
    names: BTreeMap<String, String>,
    /// Handles by the request they joined with.
    joins: BTreeMap<u64, String>,
    random: u128,
}

/// A command's words: those with `=` by name, the others in order.
struct Command<'s> {
    words: Vec<&'s str>,
    options: BTreeMap<&'s str, &'s str>,
}

impl<'s> Command<'s> {
    fn parse(line: &'s str) -> Self {
        let (options, words): (Vec<&str>, Vec<&str>) =
            line.split_whitespace().partition(|word| word.contains('=') && !word.contains("-0="));
        let options = options.into_iter().filter_map(|word| word.split_once('=')).collect();
        Self { words, options }
    }

    fn text(&self, name: &str, default: &'s str) -> &'s str {
        self.options.get(name).copied().unwrap_or(default)
    }

    fn number(&self, name: &str, default: i64) -> i64 {
        self.options.get(name).map_or(default, |text| text.parse().expect("a number"))
    }

    fn int(&self, name: &str, default: i32) -> i32 {
        i32::try_from(self.number(name, default.into())).expect("a number of 32 bits")
    }

    fn version(&self, default: i16) -> i16 {
        i16::try_from(self.number("v", default.into())).expect("a version")
    }

    fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }
}

impl Flow {
    fn new() -> Self {
        let settings = GroupSettings::default();
        Self {
            driver: Driver::new(settings.clone()),
            settings,
            ids: BTreeMap::new(),
            names: BTreeMap::new(),
            joins: BTreeMap::new(),
            random: 0,
        }
    }

    fn run(&mut self, script: &str) -> String {
        let mut outcome = String::new();
        for line in script.lines().filter(|line| !line.starts_with("  ")) {
            outcome.push_str(line);
            outcome.push('\n');
            if let Some(command) = line.strip_prefix('>') {
                let mut events = Vec::new();
                let told = self.obey(&Command::parse(command), &mut events);
                self.driver.run_timers(&mut events);
                self.driver.shard.check_invariants();
                events.iter().for_each(|event| self.learn(event));
                for event in events {
                    let text = self.print(event);
                    writeln!(outcome, "  {text}").expect("a string can grow");
                }
                told.iter().for_each(|text| writeln!(outcome, "  {text}").expect("a string can grow"));
            }
        }
        outcome
    }

    /// Does what a command says. Gives what it asked to be told.
    fn obey(&mut self, command: &Command<'_>, events: &mut Vec<Event>) -> Vec<String> {
        match command.words[0] {
            "settings" => self.set(command),
            "join" => self.join(command, events),
            "sync" => self.sync(command, events),
            "heartbeat" => self.heartbeat(command, events),
            "leave" => self.leave(command, events),
            "commit" => self.commit(command, events),
            "fetch" => self.fetch(command, events),
            "offset-delete" => self.offset_delete(command, events),
            "delete" => {
                let context = self.driver.context(2, "admin");
                let step = self.driver.shard.delete_groups(&context, &command.words[1..]);
                self.driver.drive(step, events);
            }
            "advance" => self.driver.advance(command.words[1].parse().expect("milliseconds"), events),
            "hold" => self.driver.holds_commits = true,
            "commit-one" => self.driver.commit_one(events),
            "release" => {
                self.driver.holds_commits = false;
                self.driver.commit(events);
            }
            "fail" => self.driver.next_append_error = ErrorCode::from_name(command.words[1]),
            "topics-deleted" => {
                let topics: Vec<_> = command.words[1..].iter().map(|name| (topic_id(name), *name)).collect();
                self.driver.shard.topics_deleted(&topics, self.driver.now());
            }
            "set-clock" => {
                self.driver.wall_ahead_ms += command.words[1].parse::<i64>().expect("milliseconds");
            }
            "restart" => self.driver.shard = self.driver.replayed(self.settings.clone()),
            "resign" => {
                events.extend(self.driver.shard.unload(self.driver.now()).into_iter().map(Event::Answered));
            }
            "list" => return self.list(command),
            "describe" => return self.describe(command),
            other => panic!("unknown command {other}"),
        }
        Vec::new()
    }

    fn set(&mut self, command: &Command<'_>) {
        let settings = &mut self.settings;
        settings.group_initial_rebalance_delay_ms =
            command.int("delay", settings.group_initial_rebalance_delay_ms);
        settings.group_max_size = usize::try_from(command.int("size", i32::MAX)).expect("a size");
        settings.offset_metadata_max_bytes =
            usize::try_from(command.int("metadata", 4096)).expect("a number of bytes");
        self.driver.shard.set_settings(settings.clone());
    }

    fn join(&mut self, command: &Command<'_>, events: &mut Vec<Event>) {
        let handle = command.words[1];
        let id = if command.has("new") { None } else { self.ids.get(handle).cloned() };
        let id = command.options.get("id").map_or(id, |name| Some(self.id(name)));
        let request = JoinGroupRequest {
            group_id: command.text("group", "g").into(),
            session_timeout_ms: command.int("session", 10_000),
            rebalance_timeout_ms: command.int("rebalance", 60_000),
            member_id: id.unwrap_or_default().into(),
            group_instance_id: command.options.get("instance").map(|text| (*text).into()),
            protocol_type: command.text("type", "consumer").into(),
            protocols: command
                .text("protocols", "range:")
                .split(',')
                .map(|protocol| protocol.split_once(':').expect("name:topics"))
                .map(|(name, topics)| JoinGroupRequestProtocol {
                    name: name.into(),
                    metadata: subscription(topics).into(),
                })
                .collect(),
            ..JoinGroupRequest::default()
        };
        let context = self.driver.context(command.version(9), handle);
        self.joins.insert(self.driver.last_request(), handle.to_owned());
        self.random += 1;
        let step = self.driver.shard.join_group(&context, &request, self.random);
        self.driver.drive(step, events);
    }

    fn sync(&mut self, command: &Command<'_>, events: &mut Vec<Event>) {
        let version = command.version(5);
        let name = |given: Option<&&str>, default| given.map_or(default, |text| (*text).to_owned());
        let request = SyncGroupRequest {
            group_id: command.text("group", "g").into(),
            generation_id: command.int("gen", 1),
            member_id: self.id(command.words[1]).into(),
            group_instance_id: command.options.get("instance").map(|text| (*text).into()),
            protocol_type: (version >= 5)
                .then(|| name(command.options.get("type"), "consumer".into()).into()),
            protocol_name: (version >= 5)
                .then(|| name(command.options.get("protocol"), "range".into()).into()),
            assignments: command
                .text("assign", "")
                .split_terminator(',')
                .map(|pair| pair.split_once(':').expect("member:assignment"))
                .map(|(member, assignment)| SyncGroupRequestAssignment {
                    member_id: self.id(member).into(),
                    assignment: assignment.as_bytes().into(),
                })
                .collect(),
        };
        let context = self.driver.context(version, command.words[1]);
        let step = self.driver.shard.sync_group(&context, &request);
        self.driver.drive(step, events);
    }

    fn heartbeat(&mut self, command: &Command<'_>, events: &mut Vec<Event>) {
        let request = HeartbeatRequest {
            group_id: command.text("group", "g").into(),
            generation_id: command.int("gen", 1),
            member_id: self.id(command.words[1]).into(),
            group_instance_id: command.options.get("instance").map(|text| (*text).into()),
        };
        let context = self.driver.context(4, command.words[1]);
        let step = self.driver.shard.heartbeat(&context, &request);
        self.driver.drive(step, events);
    }

    fn leave(&mut self, command: &Command<'_>, events: &mut Vec<Event>) {
        let version = command.version(5);
        let by_id = command.words[1..]
            .iter()
            .map(|handle| MemberIdentity { member_id: self.id(handle).into(), ..MemberIdentity::default() });
        let by_instance = command.options.get("instance").map(|instance| MemberIdentity {
            group_instance_id: Some((*instance).into()),
            ..MemberIdentity::default()
        });
        let mut members: Vec<_> = by_id.chain(by_instance).collect();
        let member_id = if version < 3 { members.remove(0).member_id } else { "".into() };
        let request = LeaveGroupRequest { group_id: command.text("group", "g").into(), member_id, members };
        let context = self.driver.context(version, "leaver");
        let step = self.driver.shard.leave_group(&context, &request);
        self.driver.drive(step, events);
    }

    /// `commit topic-0=5…`, with `by=member gen=1` in the name of a member.
    fn commit(&mut self, command: &Command<'_>, events: &mut Vec<Event>) {
        let member_id = command.options.get("by").map(|handle| self.id(handle)).unwrap_or_default();
        let topics = command.words[1..].iter().map(|word| {
            let (place, offset) = word.split_once('=').expect("topic-partition=offset");
            let topic = place.strip_suffix("-0").expect("partition 0");
            OffsetCommitRequestTopic {
                name: topic.into(),
                topic_id: topic_id(topic),
                partitions: vec![OffsetCommitRequestPartition {
                    committed_offset: offset.parse().expect("an offset"),
                    committed_metadata: command.options.get("metadata").map(|text| (*text).into()),
                    ..OffsetCommitRequestPartition::default()
                }],
            }
        });
        let request = OffsetCommitRequest {
            group_id: command.text("group", "g").into(),
            generation_id_or_member_epoch: command.int("gen", -1),
            member_id: member_id.into(),
            group_instance_id: command.options.get("instance").map(|text| (*text).into()),
            retention_time_ms: command.number("retention", -1),
            topics: topics.collect(),
        };
        let context = self.driver.context(command.version(10), "committer");
        let step: Step<'_> = self.driver.shard.offset_commit(&context, &request);
        self.driver.drive(step, events);
    }

    fn fetch(&mut self, command: &Command<'_>, events: &mut Vec<Event>) {
        let topics: Vec<_> = command.words[1..]
            .iter()
            .map(|name| OffsetFetchRequestTopics {
                name: (*name).into(),
                topic_id: topic_id(name),
                partition_indexes: vec![0],
            })
            .collect();
        let request = OffsetFetchRequestGroup {
            group_id: command.text("group", "g").into(),
            topics: (!topics.is_empty()).then_some(topics),
            ..OffsetFetchRequestGroup::default()
        };
        let context = self.driver.context(10, "fetcher");
        let step = self.driver.shard.offset_fetch(&context, &request, true);
        self.driver.drive(step, events);
    }

    fn offset_delete(&mut self, command: &Command<'_>, events: &mut Vec<Event>) {
        let topics = command.words[1..].iter().map(|name| OffsetDeleteRequestTopic {
            name: (*name).into(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
        });
        let request =
            OffsetDeleteRequest { group_id: command.text("group", "g").into(), topics: topics.collect() };
        let context = self.driver.context(0, "admin");
        let step = self.driver.shard.offset_delete(&context, &request);
        self.driver.drive(step, events);
    }

    fn list(&self, command: &Command<'_>) -> Vec<String> {
        let names = |option: &str| {
            command.text(option, "").split_terminator(',').map(|name| name.to_owned().into()).collect()
        };
        let request = ListGroupsRequest { states_filter: names("states"), types_filter: names("types") };
        match self.driver.shard.list_groups(&request) {
            Ok(groups) => groups
                .into_iter()
                .map(|it| {
                    format!("{} {:?} {} {}", it.group_id, it.protocol_type, it.group_state, it.group_type)
                })
                .collect(),
            Err(error) => vec![error.to_string()],
        }
    }

    fn describe(&self, command: &Command<'_>) -> Vec<String> {
        let group_id = command.words.get(1).copied().unwrap_or("g");
        let group = self.driver.shard.describe_group(group_id, command.version(6));
        let message = group.error_message.map(|text| format!(" ({text})")).unwrap_or_default();
        let head = format!(
            "{} {}{message} {} {:?}/{:?}",
            group.group_id, group.error_code, group.group_state, group.protocol_type, group.protocol_data
        );
        let members = group.members.iter().map(|member| {
            let instance = member.group_instance_id.as_deref().map(|id| format!(" instance={id}"));
            format!(
                "{}{} client={}{} sub={} asg={}",
                self.name(&member.member_id),
                instance.unwrap_or_default(),
                member.client_id,
                member.client_host,
                topics(&member.member_metadata),
                String::from_utf8_lossy(&member.member_assignment)
            )
        });
        std::iter::once(head).chain(members).collect()
    }

    fn id(&self, handle: &str) -> String {
        let by_name = self.names.iter().find(|(_, name)| *name == handle).map(|(id, _)| id.clone());
        self.ids.get(handle).cloned().or(by_name).unwrap_or_else(|| handle.to_owned())
    }

    pub(crate) fn name(&self, id: &str) -> String {
        self.names.get(id).cloned().unwrap_or_else(|| format!("{id:?}"))
    }

    /// Notes the id that a join was told.
    fn learn(&mut self, event: &Event) {
        let Event::Answered(Answer { request, response: Response::JoinGroup(response) }) = event else {
            return;
        };
        let id: &str = &response.member_id;
        let Some(handle) = self.joins.get(&request.0).filter(|_| !id.is_empty()) else { return };
        if !self.names.contains_key(id) {
            let prefix = format!("{handle}.");
            let known = self.names.values().filter(|name| name.starts_with(&prefix)).count();
            self.names.insert(id.to_owned(), format!("{prefix}{}", known + 1));
        }
        self.ids.insert(handle.clone(), id.to_owned());
    }
}

fn topic_id(name: &str) -> Uuid {
    Uuid::from_u128(name.bytes().fold(0, |id, byte| id << 8 | u128::from(byte)))
}

/// A consumer's subscription to topics joined by `+`.
fn subscription(topics: &str) -> Vec<u8> {
    let topics = topics.split_terminator('+').map(|topic| topic.to_owned().into()).collect();
    let mut writer = Writer::new();
    writer.i16(3);
    let subscription = ConsumerProtocolSubscription { topics, ..ConsumerProtocolSubscription::default() };
    subscription.encode(&mut writer, 3).expect("a subscription can be written");
    writer.into_bytes()
}
