//! Exchanges that members had with a real Kafka 4.4, had again with a shard: the answers are the same bytes.

use klamm_coordinator::{GroupSettings, Response};
use klamm_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest,
    SyncGroupRequest,
};
use klamm_protocol::{ApiKey, Decode, Encode, Reader, Uuid, Writer};
use klamm_records::{RecordIter, batches};

use crate::driver::{Driver, Event};

const CLIENT: &str = "golden";

/// One request and its response, without their headers.
struct Exchange {
    version: i16,
    request: Vec<u8>,
    response: Vec<u8>,
}

impl Exchange {
    fn request<'e, R: Decode<'e>>(&'e self) -> R {
        R::decode(&mut Reader::new(&self.request), self.version).expect("a golden request")
    }

    fn response<'e, R: Decode<'e>>(&'e self) -> R {
        R::decode(&mut Reader::new(&self.response), self.version).expect("a golden response")
    }

    fn assert_answered(&self, response: &impl Encode) {
        let mut writer = Writer::new();
        response.encode(&mut writer, self.version).expect("an answer in this version");
        assert_eq!(writer.as_bytes(), self.response, "version {}", self.version);
    }
}

fn exchanges(file: &str, key: ApiKey) -> Vec<Exchange> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/golden/rpc");
    let text = std::fs::read_to_string(format!("{folder}/{file}.txt")).expect("golden exchanges");
    let frames: Vec<(i16, Vec<u8>)> = text
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[1].parse().expect("a version"), bytes(words[3]))
        })
        .collect();
    let pairs = frames.chunks(2).map(|pair| Exchange {
        version: pair[0].0,
        request: after_request_header(&pair[0].1, key.is_flexible(pair[0].0)),
        response: after_response_header(&pair[1].1, key.is_flexible(pair[1].0)),
    });
    pairs.collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |index| u8::from_str_radix(&hex[index..index + 2], 16).expect("two hex digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn after_request_header(frame: &[u8], is_flexible: bool) -> Vec<u8> {
    let mut reader = Reader::new(frame);
    reader.skip(8).expect("key, version, correlation id");
    reader.nullable_string(false).expect("a client id");
    if is_flexible {
        reader.skip_tagged_fields().expect("tagged fields");
    }
    reader.remaining().to_vec()
}

fn after_response_header(frame: &[u8], is_flexible: bool) -> Vec<u8> {
    let mut reader = Reader::new(frame);
    reader.skip(4).expect("a correlation id");
    if is_flexible {
        reader.skip_tagged_fields().expect("tagged fields");
    }
    reader.remaining().to_vec()
}

/// The random bits in a member id.
fn random_of(member_id: &str) -> u128 {
    let uuid: String = member_id[member_id.len() - 36..].chars().filter(|letter| *letter != '-').collect();
    u128::from_str_radix(&uuid, 16).expect("a UUID")
}

/// A shard whose groups do not wait for more members.
fn driver() -> Driver {
    Driver::new(GroupSettings { group_initial_rebalance_delay_ms: 0, ..GroupSettings::default() })
}

fn only_answer(events: Vec<Event>) -> Response {
    let mut answers = events.into_iter().filter_map(|event| match event {
        Event::Answered(answer) => Some(answer.response),
        Event::Logged(..) => None,
    });
    let answer = answers.next().expect("an answer");
    assert_eq!(answers.next(), None, "one answer");
    answer
}

fn join(
    driver: &mut Driver,
    version: i16,
    request: &JoinGroupRequest<'_>,
    random: u128,
) -> JoinGroupResponse<'static> {
    let context = driver.context(version, CLIENT);
    let step = driver.shard.join_group(&context, request, random);
    let mut events = Vec::new();
    driver.drive(step, &mut events);
    driver.advance(3, &mut events);
    match only_answer(events) {
        Response::JoinGroup(response) => response,
        other => panic!("{other:?}"),
    }
}

/// Makes a member with this id in a group of its own.
fn join_as(driver: &mut Driver, group_id: &str, member_id: &str) {
    let golden = exchanges("11-JoinGroup", ApiKey::JoinGroup);
    let request = JoinGroupRequest { group_id: group_id.into(), ..golden[3].request() };
    let response = join(driver, 3, &request, random_of(member_id));
    assert_eq!(response.member_id, member_id);
}

fn sync(driver: &mut Driver, exchange: &Exchange) -> Response {
    let context = driver.context(exchange.version, CLIENT);
    let step = driver.shard.sync_group(&context, &exchange.request());
    let mut events = Vec::new();
    driver.drive(step, &mut events);
    only_answer(events)
}

/// A member in a stable group.
fn synced(driver: &mut Driver, exchange: &Exchange) -> Response {
    let request: SyncGroupRequest<'_> = exchange.request();
    join_as(driver, &request.group_id, &request.member_id);
    sync(driver, exchange)
}

#[test]
fn joins_are_answered_as_kafka_did() {
    let mut driver = driver();
    for exchange in exchanges("11-JoinGroup", ApiKey::JoinGroup) {
        let request: JoinGroupRequest<'_> = exchange.request();
        let expected: JoinGroupResponse<'_> = exchange.response();
        let random = random_of(&expected.member_id);
        if !request.member_id.is_empty() {
            // It was told its id before.
            let first = JoinGroupRequest { member_id: "".into(), ..request.clone() };
            assert_eq!(join(&mut driver, exchange.version, &first, random).member_id, request.member_id);
        }
        exchange.assert_answered(&join(&mut driver, exchange.version, &request, random));
    }
}

#[test]
fn syncs_and_heartbeats_are_answered_as_kafka_did() {
    let mut driver = driver();
    for exchange in exchanges("14-SyncGroup", ApiKey::SyncGroup) {
        let Response::SyncGroup(response) = synced(&mut driver, &exchange) else {
            panic!("an answer to a sync")
        };
        exchange.assert_answered(&response);
    }
    for exchange in exchanges("12-Heartbeat", ApiKey::Heartbeat) {
        let context = driver.context(exchange.version, CLIENT);
        let request: HeartbeatRequest<'_> = exchange.request();
        let answer = driver.shard.heartbeat(&context, &request).answers.pop().expect("an answer");
        let Response::Heartbeat(response) = answer.response else { panic!("an answer to a heartbeat") };
        exchange.assert_answered(&response);
    }
}

#[test]
fn leaves_and_deletions_are_answered_as_kafka_did() {
    let mut driver = driver();
    synced(&mut driver, &exchanges("14-SyncGroup", ApiKey::SyncGroup)[0]);
    for exchange in exchanges("13-LeaveGroup", ApiKey::LeaveGroup) {
        let request: LeaveGroupRequest<'_> = exchange.request();
        let member_id = request.members.first().map_or(&request.member_id, |member| &member.member_id);
        join_as(&mut driver, &request.group_id, member_id);
        let context = driver.context(exchange.version, CLIENT);
        let step = driver.shard.leave_group(&context, &request);
        let mut events = Vec::new();
        driver.drive(step, &mut events);
        let Response::LeaveGroup(response) = only_answer(events) else { panic!("an answer to a leave") };
        exchange.assert_answered(&response);
    }
    for exchange in exchanges("42-DeleteGroups", ApiKey::DeleteGroups) {
        let request: DeleteGroupsRequest<'_> = exchange.request();
        let group_ids: Vec<&str> = request.groups_names.iter().map(|name| &**name).collect();
        let context = driver.context(exchange.version, CLIENT);
        let step = driver.shard.delete_groups(&context, &group_ids);
        let mut events = Vec::new();
        driver.drive(step, &mut events);
        let Response::DeleteGroups(mut results) = only_answer(events) else {
            panic!("an answer to a deletion")
        };
        let mut expected: DeleteGroupsResponse<'_> = exchange.response();
        // Kafka answers partition by partition.
        results.sort_by(|left, right| left.group_id.cmp(&right.group_id));
        expected.results.sort_by(|left, right| left.group_id.cmp(&right.group_id));
        assert_eq!(results, expected.results);
    }
}

#[test]
fn groups_are_described_as_kafka_did() {
    let mut driver = driver();
    let joins = exchanges("11-JoinGroup", ApiKey::JoinGroup);
    let expected: JoinGroupResponse<'_> = joins[9].response();
    join(&mut driver, 9, &joins[9].request(), random_of(&expected.member_id));
    synced(&mut driver, &exchanges("14-SyncGroup", ApiKey::SyncGroup)[1]);
    for exchange in exchanges("15-DescribeGroups", ApiKey::DescribeGroups) {
        let request: DescribeGroupsRequest<'_> = exchange.request();
        let expected: DescribeGroupsResponse<'_> = exchange.response();
        for group_id in &request.groups {
            let golden =
                expected.groups.iter().find(|group| group.group_id == *group_id).expect("each group");
            let mut described = driver.shard.describe_group(group_id, exchange.version);
            // Who may do what is not known here; and before version 4 nobody is told of instances.
            described.authorized_operations = golden.authorized_operations;
            if exchange.version < 4 {
                described.members.iter_mut().for_each(|member| member.group_instance_id = None);
            }
            assert_eq!(described, *golden, "version {}", exchange.version);
        }
    }
}

/// A record of `__consumer_offsets-1` as Kafka wrote it.
fn golden_record(offset: i64) -> (Vec<u8>, Option<Vec<u8>>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/golden/files");
    let log = std::fs::read(format!("{folder}/__consumer_offsets-1/00000000000000000000.log"))
        .expect("the golden log");
    let mut batches = batches(&log).map(|batch| batch.expect("a whole batch"));
    let batch =
        batches.find(|batch| batch.header().base_offset == offset).expect("a batch that begins there");
    let record =
        RecordIter::new(batch.header(), batch.body()).next().expect("a record").expect("a whole record");
    (record.key.expect("a key").to_vec(), record.value.map(<[u8]>::to_vec))
}

#[test]
fn records_are_written_as_kafka_did() {
    let mut driver = driver();
    // When Kafka made the group, when its generation began, and when an offset was committed.
    driver.now_ms = 1_795_361_062_017;
    let exchange = &exchanges("14-SyncGroup", ApiKey::SyncGroup)[1];
    let request: SyncGroupRequest<'_> = exchange.request();
    let delay = GroupSettings { group_initial_rebalance_delay_ms: 3, ..GroupSettings::default() };
    driver.shard.set_settings(delay);
    join_as(&mut driver, &request.group_id, &request.member_id);
    sync(&mut driver, exchange);
    assert_eq!(driver.log[0], golden_record(5));
    assert_eq!(driver.log[1], golden_record(6));

    driver.now_ms = 1_795_361_062_060;
    let exchange = &exchanges("08-OffsetCommit", ApiKey::OffsetCommit)[0];
    let mut request: OffsetCommitRequest<'_> = exchange.request();
    let topic = &mut request.topics[0];
    topic.topic_id = Uuid::from_u128(0xb033_fcff_988f_47d7_88eb_ff43_1387_f239);
    // The second partition does not exist: that is for the broker to notice.
    topic.partitions.truncate(1);
    let context = driver.context(exchange.version, CLIENT);
    let step = driver.shard.offset_commit(&context, &request);
    driver.drive(step, &mut Vec::new());
    assert_eq!(driver.log[2], golden_record(11));
}
