//! The accumulator by what it hands out and what it decides.

use klamm_records::BatchHeader;

use super::*;
use crate::producer::batch::Batch;

const LIMITS: Limits = Limits {
    batch_size: 200,
    linger_ms: 10,
    buffer_memory: 10_000,
    max_request_size: 5_000,
    delivery_timeout_ms: 1_000,
    retries: 10,
    retry_backoff_ms: 100,
    retry_backoff_max_ms: 1_000,
    partition_in_flight_max: 5,
    idempotent: true,
    ignore_keys: false,
};

const ACK: Answer = Answer::Acknowledged(BatchAck { base_offset: Some(40), log_append_time_ms: None });

fn accumulator(limits: Limits) -> Accumulator {
    let mut accumulator = Accumulator::new(limits, 1);
    accumulator.set_partition_count("t", 2);
    accumulator.set_identity(ProducerIdentity { id: 9, epoch: 0 });
    accumulator
}

fn send(accumulator: &mut Accumulator, partition: i32, bytes: usize, now_ms: i64) -> Delivery {
    let value = vec![7; bytes];
    let record = NewRecord { value: Some(&value), ..NewRecord::default() };
    let appended = accumulator.append("t", Some(partition), &record, now_ms).expect("room");
    accumulator.check_invariants();
    appended.delivery
}

/// Drains with node 1 leading every partition and taking everything.
fn drain(accumulator: &mut Accumulator, now_ms: i64) -> Vec<Batch> {
    let mut drained = accumulator.drain(now_ms, |_, _| Some(1), |_| true);
    accumulator.check_invariants();
    drained.by_node.remove(&1).unwrap_or_default()
}

fn settle(accumulator: &mut Accumulator, batch: Batch, answer: Answer, now_ms: i64) -> Settled {
    let settled = accumulator.settle(batch, answer, now_ms);
    accumulator.check_invariants();
    settled
}

fn refused(code: ErrorCode) -> Answer {
    Answer::Refused { code, message: None }
}

fn lost() -> Answer {
    Answer::Lost { reason: "cut".to_owned() }
}

fn sequence(batch: &Batch) -> (i16, i32) {
    batch.sequence.map_or((-1, -1), |sequence| (sequence.identity.epoch, sequence.first))
}

#[test]
fn a_batch_leaves_when_it_is_full_or_has_lingered() {
    let mut accumulator = accumulator(LIMITS);
    send(&mut accumulator, 0, 10, 0);
    let waiting = accumulator.drain(9, |_, _| Some(1), |_| true);
    assert_eq!((waiting.by_node.len(), waiting.next_ms), (0, Some(10)));
    assert_eq!(drain(&mut accumulator, 10).len(), 1);

    send(&mut accumulator, 1, 90, 20);
    send(&mut accumulator, 1, 90, 20);
    let full = drain(&mut accumulator, 20);
    assert_eq!(full.iter().map(|batch| batch.count).collect::<Vec<_>>(), [1], "the second did not fit in");
}

#[test]
fn one_batch_of_a_partition_a_request_and_no_more_than_a_request_holds() {
    let mut accumulator = accumulator(Limits { max_request_size: 400, ..LIMITS });
    for _ in 0..3 {
        send(&mut accumulator, 0, 180, 0);
        send(&mut accumulator, 1, 180, 0);
    }
    let partitions: Vec<i32> = drain(&mut accumulator, 0).iter().map(|batch| batch.partition).collect();
    assert_eq!(partitions.len(), 1, "two would exceed max.request.size");
    let others: Vec<i32> = drain(&mut accumulator, 0).iter().map(|batch| batch.partition).collect();
    assert_ne!(partitions, others, "partitions take turns");
}

#[test]
fn nothing_is_handed_to_a_busy_node_or_without_a_leader() {
    let mut accumulator = accumulator(LIMITS);
    send(&mut accumulator, 0, 10, 0);
    assert!(accumulator.drain(10, |_, _| Some(1), |_| false).by_node.is_empty());
    let without = accumulator.drain(10, |_, _| None, |_| true);
    assert!(without.by_node.is_empty() && without.leader_unknown);
    assert_eq!(drain(&mut accumulator, 10).len(), 1);
}

#[test]
fn a_full_buffer_refuses_and_hurries() {
    let mut accumulator = accumulator(Limits { buffer_memory: 300, ..LIMITS });
    send(&mut accumulator, 0, 150, 0);
    let record = NewRecord { value: Some(&[0; 150]), ..NewRecord::default() };
    assert_eq!(accumulator.append("t", Some(0), &record, 0).err(), Some(AppendError::Full));
    let batch = drain(&mut accumulator, 0).remove(0);
    settle(&mut accumulator, batch, ACK, 0);
    assert!(accumulator.append("t", Some(0), &record, 0).is_ok());
    let too_large = NewRecord { value: Some(&[0; 6000]), ..NewRecord::default() };
    let error = accumulator.append("t", Some(0), &too_large, 0).err();
    assert!(matches!(error, Some(AppendError::TooLarge { max: 5_000, .. })), "{error:?}");
}

#[test]
fn records_find_their_partition() {
    let mut accumulator = accumulator(LIMITS);
    let keyed = NewRecord { key: Some(b"21"), ..NewRecord::default() };
    let delivery = accumulator.append("t", None, &keyed, 0).expect("room").delivery;
    assert_eq!(delivery.partition, partition_for_key(b"21", 2));
    let error = accumulator.append("t", Some(2), &keyed, 0).err();
    assert_eq!(error, Some(AppendError::NoSuchPartition { count: 2 }));
    assert_eq!(accumulator.append("u", None, &keyed, 0).err(), Some(AppendError::UnknownTopic));
}

#[test]
fn the_future_knows_offset_and_time() {
    let mut accumulator = accumulator(LIMITS);
    let first = send(&mut accumulator, 0, 1, 0);
    let second = send(&mut accumulator, 0, 1, 0);
    let batch = drain(&mut accumulator, 10).remove(0);
    assert_eq!(first.try_get(), None);
    let ack = BatchAck { base_offset: Some(40), log_append_time_ms: Some(77) };
    assert_eq!(settle(&mut accumulator, batch, Answer::Acknowledged(ack), 10), Settled::Acknowledged);
    let offsets: Vec<_> = [first, second].map(|d| d.try_get().and_then(Result::ok)).into();
    let expected = |offset| Some(crate::Delivered { partition: 0, offset: Some(offset), timestamp_ms: 77 });
    assert_eq!(offsets, [expected(40), expected(41)]);
}

/// Three batches of one partition in flight.
fn three_in_flight(accumulator: &mut Accumulator) -> Vec<Batch> {
    (0..3).for_each(|_| drop(send(accumulator, 0, 180, 0)));
    let mut batches = Vec::new();
    for _ in 0..3 {
        batches.append(&mut drain(accumulator, 20));
    }
    assert_eq!(batches.iter().map(sequence).collect::<Vec<_>>(), [(0, 0), (0, 1), (0, 2)]);
    batches
}

#[test]
fn retries_keep_numbers_and_order() {
    let mut accumulator = accumulator(LIMITS);
    let mut batches = three_in_flight(&mut accumulator);
    let third = batches.remove(2);
    let second = batches.remove(1);
    let first = batches.remove(0);
    assert_eq!(
        settle(&mut accumulator, first, refused(ErrorCode::NOT_LEADER_OR_FOLLOWER), 20),
        Settled::Retried
    );
    assert!(drain(&mut accumulator, 200).is_empty(), "the others are still in flight");
    let out_of_order = || refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(settle(&mut accumulator, third, out_of_order(), 20), Settled::Retried);
    assert_eq!(settle(&mut accumulator, second, out_of_order(), 20), Settled::Retried);
    for expected in [0, 1, 2] {
        let mut batches = drain(&mut accumulator, 500);
        assert_eq!(batches.iter().map(sequence).collect::<Vec<_>>(), [(0, expected)]);
        assert!(drain(&mut accumulator, 500).is_empty(), "retries go one by one");
        assert_eq!(settle(&mut accumulator, batches.remove(0), ACK, 500), Settled::Acknowledged);
    }
    assert!(accumulator.is_flushed(u64::MAX));
}

#[test]
fn a_duplicate_is_a_success_without_an_offset() {
    let mut accumulator = accumulator(LIMITS);
    let delivery = send(&mut accumulator, 0, 1, 0);
    let batch = drain(&mut accumulator, 10).remove(0);
    settle(&mut accumulator, batch, lost(), 10);
    let batch = drain(&mut accumulator, 110).remove(0);
    let answer = refused(ErrorCode::DUPLICATE_SEQUENCE_NUMBER);
    assert_eq!(settle(&mut accumulator, batch, answer, 120), Settled::Acknowledged);
    assert_eq!(delivery.try_get().and_then(Result::ok).map(|d| d.offset), Some(None));
}

#[test]
fn a_hole_in_the_numbers_starts_a_new_epoch() {
    let mut accumulator = accumulator(LIMITS);
    let mut batches = three_in_flight(&mut accumulator);
    let third = batches.remove(2);
    let second = batches.remove(1);
    let first = batches.remove(0);
    let answer = refused(ErrorCode::MESSAGE_TOO_LARGE);
    assert_eq!(settle(&mut accumulator, first, answer, 20), Settled::GivenUp);
    let out_of_order = || refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(settle(&mut accumulator, second, out_of_order(), 20), Settled::Retried);
    assert_eq!(settle(&mut accumulator, third, out_of_order(), 20), Settled::Retried);
    let mut again = drain(&mut accumulator, 500);
    assert_eq!(again.iter().map(sequence).collect::<Vec<_>>(), [(1, 0)]);
    settle(&mut accumulator, again.remove(0), ACK, 500);
    assert_eq!(drain(&mut accumulator, 500).iter().map(sequence).collect::<Vec<_>>(), [(1, 1)]);
}

/// Three batches in flight of which nothing is heard; the first has waited longer, and is given up.
fn the_first_given_up(accumulator: &mut Accumulator) {
    for at_ms in [0, 500, 500] {
        send(accumulator, 0, 180, at_ms);
    }
    let batches = [(); 3].map(|()| drain(accumulator, 600).remove(0));
    for batch in batches {
        settle(accumulator, batch, lost(), 600);
    }
    send(accumulator, 0, 180, 650);
    assert!(accumulator.drain(1_000, |_, _| None, |_| true).freed);
}

#[test]
fn what_may_be_in_the_log_keeps_its_number_behind_a_hole() {
    let mut accumulator = accumulator(LIMITS);
    the_first_given_up(&mut accumulator);
    for expected in [(0, 1), (0, 2), (1, 0)] {
        let mut batches = drain(&mut accumulator, 1_050);
        assert_eq!(batches.iter().map(sequence).collect::<Vec<_>>(), [expected]);
        assert!(drain(&mut accumulator, 1_050).is_empty(), "one by one");
        assert_eq!(settle(&mut accumulator, batches.remove(0), ACK, 1_050), Settled::Acknowledged);
    }
}

#[test]
fn what_is_not_in_the_log_starts_over_behind_a_hole() {
    let mut accumulator = accumulator(LIMITS);
    the_first_given_up(&mut accumulator);
    let batch = drain(&mut accumulator, 1_050).remove(0);
    let out_of_order = refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(settle(&mut accumulator, batch, out_of_order, 1_050), Settled::Retried);
    let again = drain(&mut accumulator, 1_300).remove(0);
    assert_eq!(sequence(&again), (1, 0));
}

#[test]
fn an_error_about_the_first_batch_is_final() {
    let mut accumulator = accumulator(LIMITS);
    let delivery = send(&mut accumulator, 0, 1, 0);
    let batch = drain(&mut accumulator, 10).remove(0);
    let answer = refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(settle(&mut accumulator, batch, answer, 10), Settled::GivenUp);
    let error = delivery.try_get().and_then(Result::err).map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("t-0: the broker answered OUT_OF_ORDER_SEQUENCE_NUMBER"));
}

#[test]
fn a_forgotten_producer_starts_over_with_the_same_batch() {
    let mut accumulator = accumulator(LIMITS);
    send(&mut accumulator, 0, 1, 0);
    let batch = drain(&mut accumulator, 10).remove(0);
    let answer = refused(ErrorCode::UNKNOWN_PRODUCER_ID);
    assert_eq!(settle(&mut accumulator, batch, answer, 10), Settled::Retried);
    assert_eq!(drain(&mut accumulator, 200).iter().map(sequence).collect::<Vec<_>>(), [(1, 0)]);
}

#[test]
fn what_takes_too_long_is_given_up() {
    let mut accumulator = accumulator(LIMITS);
    let delivery = send(&mut accumulator, 0, 1, 0);
    let batch = drain(&mut accumulator, 10).remove(0);
    assert_eq!(settle(&mut accumulator, batch, lost(), 10), Settled::Retried);
    let drained = accumulator.drain(999, |_, _| None, |_| true);
    assert_eq!(drained.next_ms, Some(1000));
    assert!(accumulator.drain(1000, |_, _| None, |_| true).freed);
    let error = delivery.try_get().and_then(Result::err).map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("t-0: not acknowledged within 1000 ms, last answer: cut"));

    let mut once = self::accumulator(Limits { retries: 0, idempotent: false, ..LIMITS });
    send(&mut once, 0, 1, 0);
    let batch = drain(&mut once, 10).remove(0);
    assert_eq!(settle(&mut once, batch, lost(), 10), Settled::GivenUp);
}

#[test]
fn a_flush_waits_for_what_was_there() {
    let mut accumulator = accumulator(LIMITS);
    send(&mut accumulator, 0, 1, 0);
    let mark = accumulator.begin_flush();
    send(&mut accumulator, 0, 1, 0);
    let mut batches = drain(&mut accumulator, 0);
    assert_eq!(batches.len(), 1, "without lingering, and without what came later");
    assert!(!accumulator.is_flushed(mark));
    settle(&mut accumulator, batches.remove(0), ACK, 0);
    assert!(accumulator.is_flushed(mark) && !accumulator.is_flushed(u64::MAX));
}

#[test]
fn without_an_identity_nothing_idempotent_leaves() {
    let mut accumulator = Accumulator::new(LIMITS, 1);
    accumulator.set_partition_count("t", 1);
    let delivery = send(&mut accumulator, 0, 1, 0);
    let drained = accumulator.drain(10, |_, _| Some(1), |_| true);
    assert!(drained.needs_identity && drained.by_node.is_empty());
    accumulator.give_up_waiting("denied");
    let error = delivery.try_get().and_then(Result::err).map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("no producer id: denied"));
    accumulator.set_identity(ProducerIdentity { id: 1, epoch: 0 });
    send(&mut accumulator, 0, 1, 20);
    assert_eq!(drain(&mut accumulator, 30).iter().map(sequence).collect::<Vec<_>>(), [(0, 0)]);
}

#[test]
fn a_sealed_batch_carries_its_numbers() {
    let mut accumulator = accumulator(LIMITS);
    send(&mut accumulator, 0, 1, 0);
    let mut batch = drain(&mut accumulator, 10).remove(0);
    batch.seal(klamm_records::Compression::Lz4.into());
    let header = BatchHeader::parse(batch.bytes()).expect("a batch");
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (9, 0, 0));
    settle(&mut accumulator, batch, refused(ErrorCode::UNKNOWN_PRODUCER_ID), 10);
    let mut batch = drain(&mut accumulator, 200).remove(0);
    batch.seal(klamm_records::Compression::Lz4.into());
    let restamped = klamm_records::Batch::parse(batch.bytes()).expect("a batch");
    assert_eq!(restamped.header().producer_epoch, 1);
    assert_eq!(restamped.check_crc(), Ok(()));
}

#[test]
fn takes_records_of_many_topics() {
    let mut accumulator = accumulator(LIMITS);
    for topic in ["b", "a", "c"] {
        accumulator.set_partition_count(topic, 1);
    }
    let names: Vec<String> = accumulator.topics().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a", "b", "c", "t"]);
}
