//! Malformed record batches in well-formed requests, made from real batches of every codec. What is accepted all the same has to be
//! something that a client can read.

use std::borrow::Cow;
use std::time::Duration;

use klamm_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use klamm_protocol::messages::{ProduceRequest, ProduceResponse};
use klamm_protocol::{ApiKey, Decode, Encode, ErrorCode, Reader, Records, Writer, header};
use klamm_records::BatchHeader;

use super::golden;
use super::mutation::Random;
use super::siege::{Siege, in_parallel};
use super::wire::{Answer, Connection};
use crate::check::{Fault, Verdict, expect, rows};
use crate::stage::Stage;

const ATTACKERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);
/// The last version that names topics.
const VERSION: i16 = 12;

pub(super) fn malformed_batches(stage: &Stage<'_>) -> Verdict {
    let count = stage.records(2_000, 100_000);
    let siege = Siege::start(stage, &[])?;
    let topic = stage.own("target");
    let args = format!("--bootstrap-server {} --create --topic {topic}", siege.address());
    stage.tool("TopicCommand", &args)?;
    let batches = golden::batches()?;
    let address = siege.address();
    let accepted = in_parallel(ATTACKERS, |seed| attack(address, &topic, &batches, seed, count / ATTACKERS))?;
    let sum: usize = accepted.iter().sum();
    stage
        .report(format!("{count} batches: {} refused, {sum} still well-formed and accepted", count - sum))?;
    read_back(stage, siege.address(), &topic)?;
    siege.end()
}

/// Kafka's own consumer, which checks CRCs, reads the partition to its end. (librdkafka does not get past a length below −1, which
/// Kafka takes for null.)
fn read_back(stage: &Stage<'_>, address: &str, topic: &str) -> Verdict {
    let group = stage.own("reader");
    let args = format!(
        "--bootstrap-server {address} --topic {topic} --group {group} --from-beginning --timeout-ms 10000"
    );
    stage.tool_ending_somehow("consumer.ConsoleConsumer", &args, "")?;
    let args = format!("--bootstrap-server {address} --describe --group {group}");
    let described = stage.tool("consumer.group.ConsumerGroupCommand", &args)?;
    let lag =
        rows(&described).into_iter().find(|row| row.contains(&topic)).and_then(|row| row.get(5).copied());
    expect(lag == Some("0"), "a lag of 0 after reading the partition to its end", || described.clone())
}

/// How many batches were accepted.
fn attack(address: &str, topic: &str, batches: &[Vec<u8>], seed: u64, count: usize) -> Verdict<usize> {
    let mut random = Random(seed);
    let mut accepted = 0;
    let mut connection = Connection::open(address, PATIENCE)?;
    for number in 0..count {
        let batch = batch(&mut random, batches);
        let request = request(topic, number as i32, &batch)?;
        let answer = connection.exchange(&request);
        let error = match &answer {
            Answer::Frame(frame) => error_code(frame, number as i32),
            _ => None,
        };
        let what = || format!("{answer:?} to {batch:02x?}");
        let error = error.ok_or_else(|| Fault::failed("an answer for the partition", what()))?;
        accepted += usize::from(error == ErrorCode::NONE);
    }
    Ok(accepted)
}

/// Every other one gets the length and the CRC of its bytes, so that changes reach what lies behind those checks.
fn batch(random: &mut Random, batches: &[Vec<u8>]) -> Vec<u8> {
    let mut batch = random.of(batches).clone();
    random.mutate(&mut batch, batches);
    if random.below(2) == 0 && batch.len() >= BatchHeader::SIZE {
        let length = (batch.len() - BatchHeader::LOG_OVERHEAD) as i32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = BatchHeader::parse(&batch).map(|header| header.compute_crc(&batch[BatchHeader::SIZE..]));
        batch[17..21].copy_from_slice(&crc.unwrap_or_default().to_be_bytes());
    }
    batch
}

fn request(topic: &str, correlation_id: i32, batch: &[u8]) -> Verdict<Vec<u8>> {
    let partition = PartitionProduceData { index: 0, records: Some(Records::Bytes(Cow::Borrowed(batch))) };
    let topic =
        TopicProduceData { name: topic.into(), partition_data: vec![partition], ..Default::default() };
    let request =
        ProduceRequest { acks: 1, timeout_ms: 5_000, topic_data: vec![topic], ..Default::default() };
    let mut w = Writer::new();
    let written = header::encode_request(&mut w, ApiKey::Produce, VERSION, correlation_id, Some("hostile"))
        .and_then(|()| request.encode(&mut w, VERSION));
    written.map_err(|error| Fault::failed("a request", error.to_string()))?;
    Ok(w.into_bytes())
}

fn error_code(frame: &[u8], correlation_id: i32) -> Option<ErrorCode> {
    let mut r = Reader::new(frame);
    let id = header::decode_response(&mut r, ApiKey::Produce, VERSION).ok()?;
    let response = ProduceResponse::decode(&mut r, VERSION).ok().filter(|_| id == correlation_id)?;
    Some(response.responses.first()?.partition_responses.first()?.error_code)
}
