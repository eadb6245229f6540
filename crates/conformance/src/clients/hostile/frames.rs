//! Malformed frames, made from real requests of every API and version.

use std::time::Duration;

use klamm_protocol::ApiKey;

use super::golden;
use super::messages::{answers, api, is_malformed};
use super::mutation::Random;
use super::siege::{Siege, in_parallel};
use super::wire::{Answer, Connection, with_size};
use crate::check::{Verdict, expect};
use crate::stage::Stage;

const ATTACKERS: usize = 8;
/// A request may rightly wait for more to come; nobody waits with it.
const PATIENCE: Duration = Duration::from_millis(50);

/// Requests that may do what they ask for when a change leaves them well-formed. Others change the cluster, as is
/// their right, and are sent only when they are malformed.
const HARMLESS: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::SaslHandshake,
    ApiKey::SaslAuthenticate,
    ApiKey::ApiVersions,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeConfigs,
    ApiKey::DescribeLogDirs,
    ApiKey::DescribeProducers,
    ApiKey::DescribeQuorum,
    ApiKey::DescribeCluster,
    ApiKey::DescribeTopicPartitions,
    ApiKey::ListPartitionReassignments,
];

#[derive(Default)]
struct Tally {
    answered: usize,
    closed: usize,
    unanswered: usize,
}

pub(super) fn malformed_frames(stage: &Stage<'_>) -> Verdict {
    let count = stage.records(20_000, 1_000_000);
    let siege = Siege::start(stage, &[])?;
    let requests = golden::requests()?;
    let address = siege.address();
    let tallies = in_parallel(ATTACKERS, |seed| attack(address, &requests, seed, count / ATTACKERS))?;
    let sum = |of: fn(&Tally) -> usize| tallies.iter().map(of).sum::<usize>();
    let (answered, closed) = (sum(|tally| tally.answered), sum(|tally| tally.closed));
    let unanswered = sum(|tally| tally.unanswered);
    stage.report(format!(
        "{count} frames: {answered} answered, {closed} connections closed, {unanswered} without an answer yet"
    ))?;
    siege.end()
}

fn attack(address: &str, requests: &[Vec<u8>], seed: u64, count: usize) -> Verdict<Tally> {
    let mut random = Random(seed);
    let mut tally = Tally::default();
    let mut connection = None;
    for _ in 0..count {
        let frame = frame(&mut random, requests);
        let mut open = match connection.take() {
            Some(open) => open,
            None => Connection::open(address, PATIENCE)?,
        };
        let is_honest = random.below(16) > 0;
        if !is_honest {
            let _ = open.send_raw(&with_wrong_size(&mut random, &frame)).and_then(|()| open.end());
        } else if open.send(&frame).is_err() {
            tally.closed += 1;
            continue;
        }
        match open.receive() {
            Answer::Frame(answer) => {
                tally.answered += 1;
                let is_right = !is_honest || answers(&frame, &answer);
                expect(is_right, &format!("an answer to {}", hex(&frame)), || hex(&answer))?;
                connection = is_honest.then_some(open);
            }
            Answer::Closed => tally.closed += 1,
            Answer::Silence => tally.unanswered += 1,
        }
    }
    Ok(tally)
}

fn frame(random: &mut Random, requests: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = random.of(requests).clone();
    random.mutate(&mut frame, requests);
    let is_harmless =
        |frame: &[u8]| api(frame).is_none_or(|key| HARMLESS.contains(&key) || !key.is_on_broker());
    // Without its end a request that was well-formed is so no more.
    while !is_harmless(&frame) && !is_malformed(&frame) {
        frame.pop();
    }
    frame
}

fn with_wrong_size(random: &mut Random, frame: &[u8]) -> Vec<u8> {
    let mut bytes = with_size(frame);
    let wrong =
        [0, 1, i32::MAX, -1, i32::MIN, 104_857_601, 90 << 20, frame.len() as i32 + 1, frame.len() as i32 / 2];
    bytes[..4].copy_from_slice(&random.of(&wrong).to_be_bytes());
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
