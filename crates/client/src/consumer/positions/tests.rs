//! Positions by what they ask for and deliver.

use super::*;

fn t(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn positions(reset: AutoOffsetReset) -> Positions {
    Positions::new(Limits { reset, tells_ends: true, partition_bytes_max: 100, bytes_max: 1000 })
}

fn batch(next_offset: i64, bytes: usize) -> Content {
    Content::Batch { frame: Arc::default(), range: 0..bytes, next_offset, leader_epoch: 3 }
}

fn listed(offset: Option<i64>) -> ListedOffset {
    ListedOffset { offset, timestamp_ms: None, leader_epoch: 1 }
}

fn data(contents: Vec<Content>, end: i64) -> PartitionData {
    PartitionData { contents, corrupt: None, high_watermark: end, end_offset: end }
}

#[test]
fn a_partition_finds_its_start() {
    let mut positions = positions(AutoOffsetReset::Earliest);
    positions.start(t(0), StartAt::Committed);
    positions.start(t(1), StartAt::Committed);
    positions.start(t(2), StartAt::Timestamp(50));
    let asked = positions.take_uncommitted(0);
    assert_eq!(asked.len(), 2);
    assert!(positions.take_uncommitted(0).is_empty(), "asked for already");
    assert!(positions.committed(&asked, &[(t(0), GroupOffset::new(7))].into(), 0).is_empty());
    let lookups = positions.take_lookups(0);
    let specs: Vec<_> = lookups.iter().map(|l| (l.partition.partition, l.spec)).collect();
    assert_eq!(specs, [(1, OffsetSpec::Earliest), (2, OffsetSpec::Timestamp(50))]);
    positions.found(&lookups[0], &listed(Some(2)));
    positions.found(&lookups[1], &listed(None));
    assert_eq!(positions.take_lookups(0)[0].spec, OffsetSpec::Latest, "no record is that young");
    let offsets: Vec<_> = positions.fetchable(0).ready.iter().map(|f| f.offset).collect();
    assert_eq!(offsets, [7, 2]);
    positions.check_invariants();
}

#[test]
fn without_a_policy_a_missing_offset_is_an_error() {
    let mut positions = positions(AutoOffsetReset::None);
    positions.start(t(0), StartAt::Committed);
    let asked = positions.take_uncommitted(0);
    assert_eq!(positions.committed(&asked, &BTreeMap::new(), 0), [t(0)]);
    assert!(positions.take_uncommitted(0).is_empty(), "it waits for a seek");
    positions.start(t(0), StartAt::Offset(3));
    assert_eq!(positions.fetchable(0).ready.len(), 1);
}

/// A seek between the choice of what to fetch and the request: nobody would take the answer, so it is not asked for.
#[test]
fn a_fetch_for_a_partition_that_moved_on_does_not_hold_it_up() {
    let mut positions = positions(AutoOffsetReset::Latest);
    positions.start(t(0), StartAt::Offset(5));
    let version = positions.fetchable(0).ready[0].version;
    positions.start(t(0), StartAt::Offset(7));
    assert!(!positions.fetching(&t(0), version));
    assert_eq!(positions.fetchable(0).ready[0].offset, 7);
}

#[test]
fn what_waits_for_a_paused_partition_does_not_hold_up_others() {
    let mut positions = positions(AutoOffsetReset::Latest);
    positions.start(t(0), StartAt::Offset(0));
    let version = positions.fetchable(0).ready[0].version;
    positions.fetched(&t(0), version, data(vec![batch(5, 1 << 20)], 50));
    positions.start(t(1), StartAt::Offset(0));
    assert!(positions.fetchable(0).ready.is_empty(), "the buffer is full");
    assert!(positions.set_paused(&t(0), true));
    assert_eq!(positions.fetchable(0).ready[0].partition, t(1));
    positions.check_invariants();
}

#[test]
fn delivery_moves_the_position_and_asking_again_the_commit() {
    let mut positions = positions(AutoOffsetReset::Latest);
    positions.start(t(0), StartAt::Offset(5));
    let version = positions.fetchable(0).ready[0].version;
    assert!(positions.fetching(&t(0), version));
    assert_eq!(positions.fetchable(0), Fetchables::default(), "on its way");
    let contents = vec![batch(8, 60), Content::Skip { next_offset: 9, leader_epoch: 3 }, batch(12, 60)];
    positions.fetched(&t(0), version, data(contents, 12));
    positions.check_invariants();
    assert_eq!(positions.fetchable(0).full, [t(0)], "enough in the buffer");
    let delivered = positions.next();
    assert!(matches!(delivered, Some(Delivery::Batch { from_offset: 5, .. })), "{delivered:?}");
    assert_eq!((positions.position(&t(0)), positions.to_commit(true).len()), (Some(8), 1));
    assert_eq!(positions.to_commit(true)[&t(0)].offset, 5);
    positions.note_processed();
    assert_eq!(
        positions.to_commit(true)[&t(0)],
        GroupOffset { leader_epoch: Some(3), ..GroupOffset::new(8) }
    );
    let delivered = positions.next();
    assert!(matches!(delivered, Some(Delivery::Batch { from_offset: 9, .. })), "{delivered:?}");
    assert!(matches!(positions.next(), Some(Delivery::End { offset: 12, .. })));
    assert_eq!(positions.fetchable(0).ready[0].offset, 12);
    positions.note_committed(&t(0), 12);
    assert!(positions.to_commit(false).is_empty());
    positions.check_invariants();
}

#[test]
fn a_seek_makes_old_answers_void() {
    let mut positions = positions(AutoOffsetReset::Latest);
    positions.start(t(0), StartAt::Offset(0));
    let version = positions.fetchable(0).ready[0].version;
    positions.fetched(&t(0), version, data(vec![batch(5, 10)], 5));
    positions.start(t(0), StartAt::Offset(100));
    assert!(positions.next().is_none());
    positions.fetched(&t(0), version, data(vec![batch(9, 10)], 9));
    assert!(positions.next().is_none());
    assert_eq!(positions.position(&t(0)), Some(100));
    positions.check_invariants();
}

#[test]
fn a_paused_partition_keeps_what_it_has() {
    let mut positions = positions(AutoOffsetReset::Latest);
    for partition in [0, 1] {
        positions.start(t(partition), StartAt::Offset(0));
    }
    for fetchable in positions.fetchable(0).ready {
        positions.fetched(&fetchable.partition, fetchable.version, data(vec![batch(5, 10)], 50));
    }
    positions.set_paused(&t(0), true);
    assert!(matches!(positions.next(), Some(Delivery::Batch { partition, .. }) if partition == t(1)));
    assert!(positions.next().is_none());
    positions.set_paused(&t(0), false);
    assert!(matches!(positions.next(), Some(Delivery::Batch { partition, .. }) if partition == t(0)));
}

/// A partition read from 0 with the records up to 5 in the buffer, and another fetch on its way.
fn with_five_buffered(reset: AutoOffsetReset) -> (Positions, u64) {
    let mut positions = positions(reset);
    positions.start(t(0), StartAt::Offset(0));
    let version = positions.fetchable(0).ready[0].version;
    positions.fetched(&t(0), version, data(vec![batch(5, 10)], 50));
    assert!(positions.fetching(&t(0), version));
    (positions, version)
}

fn refused() -> ConsumeError {
    ConsumeError::Partition { partition: t(0), code: klamm_protocol::ErrorCode::CORRUPT_MESSAGE }
}

#[test]
fn an_error_comes_behind_what_was_fetched_before_it() {
    let (mut positions, version) = with_five_buffered(AutoOffsetReset::Earliest);
    positions.failed(&t(0), version, refused());
    assert!(matches!(positions.next(), Some(Delivery::Batch { from_offset: 0, .. })));
    let delivered = positions.next();
    assert!(matches!(delivered, Some(Delivery::Failed(ConsumeError::Partition { .. }))), "{delivered:?}");
    assert!(positions.next().is_none(), "it is told once");
    assert_eq!(positions.position(&t(0)), Some(5));
    assert_eq!(positions.fetchable(0), Fetchables::default(), "it waits for a seek");
    assert!(!positions.take_has_work());
    positions.start(t(0), StartAt::Offset(7));
    assert_eq!(positions.fetchable(0).ready[0].offset, 7);
    positions.check_invariants();
}

#[test]
fn a_damaged_batch_comes_behind_the_good_ones_of_its_answer() {
    let (mut positions, version) = with_five_buffered(AutoOffsetReset::Earliest);
    let misfit = CorruptBatch::Offsets { base_offset: 1, last_offset: 1, due: 9 };
    let corrupt = Some(misfit.clone());
    positions.fetched(&t(0), version, PartitionData { corrupt, ..data(vec![batch(9, 10)], 50) });
    assert!(matches!(positions.next(), Some(Delivery::Batch { from_offset: 0, .. })));
    assert!(matches!(positions.next(), Some(Delivery::Batch { from_offset: 5, .. })));
    match positions.next() {
        Some(Delivery::Failed(ConsumeError::Corrupt { offset: 9, source, .. })) => assert_eq!(source, misfit),
        other => panic!("{other:?}"),
    }
    assert_eq!(positions.fetchable(0), Fetchables::default(), "it waits for a seek");
}

#[test]
fn a_seek_makes_an_error_void() {
    let (mut positions, version) = with_five_buffered(AutoOffsetReset::Earliest);
    positions.failed(&t(0), version, refused());
    positions.start(t(0), StartAt::Offset(7));
    positions.failed(&t(0), version, refused());
    assert!(positions.next().is_none());
    assert_eq!(positions.fetchable(0).ready[0].offset, 7);
}

#[test]
fn out_of_range_starts_over_behind_what_was_fetched_before() {
    let (mut positions, version) = with_five_buffered(AutoOffsetReset::ByDuration { ms: 10 });
    positions.out_of_range(&t(0), version, 500);
    assert!(positions.take_lookups(500).is_empty());
    assert!(matches!(positions.next(), Some(Delivery::Batch { from_offset: 0, .. })));
    assert!(!positions.take_has_work());
    assert!(positions.next().is_none());
    assert!(positions.take_has_work());
    assert_eq!(positions.take_lookups(500)[0].spec, OffsetSpec::Timestamp(490));
    positions.check_invariants();
}

#[test]
fn out_of_range_without_a_policy_is_an_error() {
    let (mut positions, version) = with_five_buffered(AutoOffsetReset::None);
    positions.out_of_range(&t(0), version, 500);
    assert!(matches!(positions.next(), Some(Delivery::Batch { from_offset: 0, .. })));
    assert!(matches!(positions.next(), Some(Delivery::Failed(ConsumeError::NoOffset { .. }))));
    assert!(positions.take_lookups(500).is_empty(), "it waits for a seek");
}

/// A partition whose records up to 5 are delivered and those up to 9 in the buffer, all of leader 3.
fn with_five_delivered(reset: AutoOffsetReset) -> (Positions, u64) {
    let (mut positions, version) = with_five_buffered(reset);
    positions.fetched(&t(0), version, data(vec![batch(9, 10)], 9));
    assert!(matches!(positions.next(), Some(Delivery::Batch { from_offset: 0, .. })));
    assert!(positions.fetching(&t(0), version));
    (positions, version)
}

#[test]
fn a_cut_log_is_read_again_from_where_it_was_cut() {
    // Where the leader's epoch 2 ends, the position, and what is fetched next.
    let table = [
        ("what was delivered is cut", 4, 4, (4, 2)),
        ("what was fetched ahead is cut", 7, 5, (5, 3)),
        ("all is there, as others wrote it", 9, 5, (9, 2)),
    ];
    for (name, end_offset, position, next) in table {
        let (mut positions, version) = with_five_delivered(AutoOffsetReset::Latest);
        assert_eq!(positions.fetchable(0), Fetchables::default(), "on its way");
        positions.note_processed();
        positions.diverged(&t(0), version, EpochEnd { epoch: 2, end_offset }, 0);
        assert_eq!(positions.position(&t(0)), Some(position), "{name}");
        let asked = positions.fetchable(0).ready.remove(0);
        assert_eq!((asked.offset, asked.fetched_epoch), next, "{name}");
        assert_eq!(positions.to_commit(true)[&t(0)].offset, position, "{name}");
        positions.check_invariants();
        let is_kept = matches!(positions.next(), Some(Delivery::Batch { .. }));
        assert_eq!(is_kept, next.0 == 9, "{name}");
    }
}

#[test]
fn without_a_policy_a_cut_log_is_an_error_if_it_was_delivered() {
    for (end_offset, is_error) in [(4, true), (7, false)] {
        let (mut positions, version) = with_five_delivered(AutoOffsetReset::None);
        positions.diverged(&t(0), version, EpochEnd { epoch: 2, end_offset }, 0);
        let delivered = positions.next();
        let is_told = matches!(delivered, Some(Delivery::Failed(ConsumeError::NoOffset { .. })));
        assert_eq!((is_told, positions.position(&t(0))), (is_error, Some(5)), "{end_offset}: {delivered:?}");
        assert_eq!(positions.fetchable(0).ready.is_empty(), is_error, "{end_offset}: it waits for a seek");
        positions.check_invariants();
    }
}
