//! Records in, images and deltas out: transactions, what changed for a broker, what two images share, and what does not fit.

use std::sync::Arc;

use klamm_metadata::cluster::RegistrationError;
use klamm_metadata::configs::ConfigResource;
use klamm_metadata::loader::{MetadataLoader, Published};
use klamm_metadata::partition::{NO_LEADER_CHANGE, NO_RECOVERY_STATE_CHANGE, PartitionError};
use klamm_metadata::{
    ApplyError, MetadataDelta, MetadataImage, MetadataRecord, Provenance, TopicIdPartition,
};
use klamm_protocol::Uuid;
use klamm_protocol::messages::{
    AbortTransactionRecord, BeginTransactionRecord, BrokerRegistrationChangeRecord, ClearElrRecord,
    ConfigRecord, EndTransactionRecord, FeatureLevelRecord, FenceBrokerRecord, PartitionChangeRecord,
    PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord, RemoveTopicRecord, TopicRecord,
};

type Record = MetadataRecord<'static>;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn topic(name: &'static str, number: u128) -> Record {
    MetadataRecord::Topic(TopicRecord { name: name.into(), topic_id: id(number) })
}

fn partition(number: u128, partition_id: i32, replicas: &[i32]) -> Record {
    MetadataRecord::Partition(PartitionRecord {
        partition_id,
        topic_id: id(number),
        replicas: replicas.to_vec(),
        isr: replicas.to_vec(),
        leader: replicas[0],
        leader_epoch: 0,
        partition_epoch: 0,
        ..Default::default()
    })
}

fn change(number: u128, partition_id: i32, edit: impl FnOnce(&mut PartitionChangeRecord)) -> Record {
    let mut record = PartitionChangeRecord {
        partition_id,
        topic_id: id(number),
        leader: NO_LEADER_CHANGE,
        leader_recovery_state: NO_RECOVERY_STATE_CHANGE,
        ..Default::default()
    };
    edit(&mut record);
    MetadataRecord::PartitionChange(record)
}

fn remove(number: u128) -> Record {
    MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: id(number) })
}

fn config(topic: &'static str, name: &'static str, value: Option<&'static str>) -> Record {
    MetadataRecord::Config(ConfigRecord {
        resource_type: 2,
        resource_name: topic.into(),
        name: name.into(),
        value: value.map(Into::into),
    })
}

fn producer_ids(next_producer_id: i64) -> Record {
    MetadataRecord::ProducerIds(ProducerIdsRecord { next_producer_id, ..Default::default() })
}

fn begin() -> Record {
    MetadataRecord::BeginTransaction(BeginTransactionRecord::default())
}

fn end() -> Record {
    MetadataRecord::EndTransaction(EndTransactionRecord::default())
}

fn abort() -> Record {
    MetadataRecord::AbortTransaction(AbortTransactionRecord::default())
}

fn at(last_offset: i64) -> Provenance {
    Provenance { last_offset, last_epoch: 1, last_timestamp_ms: 0 }
}

fn image(records: &[Record]) -> MetadataImage {
    let (image, _) = MetadataImage::default().apply(records, at(9)).unwrap();
    image.check_invariants();
    image
}

fn tip(number: u128, partition: i32) -> TopicIdPartition {
    TopicIdPartition { topic_id: id(number), partition }
}

#[test]
fn a_transaction_shows_when_it_ends_and_not_at_all_when_it_is_aborted() {
    // Batches, and the next producer id each publishes: none while it is hidden.
    type Batches<'a> = &'a [&'a [Record]];
    let cases: &[(Batches<'_>, &[Option<i64>])] = &[
        (&[&[producer_ids(1)], &[producer_ids(2)]], &[Some(1), Some(2)]),
        (&[&[begin(), producer_ids(1), end()]], &[Some(1)]),
        (&[&[producer_ids(1), begin()], &[producer_ids(2)], &[end()]], &[None, None, Some(2)]),
        (&[&[producer_ids(1), begin(), producer_ids(2)], &[abort()]], &[None, Some(1)]),
        (
            &[&[begin()], &[producer_ids(2)], &[abort(), begin(), producer_ids(3), end()]],
            &[None, None, Some(3)],
        ),
    ];
    for (batches, expected) in cases {
        let mut loader = MetadataLoader::default();
        let shown = batches.iter().zip(0..).map(|(batch, offset)| {
            let published: Option<Published> = loader.apply(batch, at(offset)).unwrap();
            published.map(|published| {
                assert_eq!(published.image.provenance, at(offset));
                published.image.next_producer_id.unwrap()
            })
        });
        assert_eq!(shown.collect::<Vec<_>>(), *expected, "{batches:?}");
    }
}

#[test]
fn transactions_out_of_order_are_refused_and_change_nothing() {
    for records in [vec![begin(), begin()], vec![end()], vec![producer_ids(5), abort()]] {
        let mut loader = MetadataLoader::default();
        assert!(matches!(loader.apply(&records, at(0)), Err(ApplyError::Transaction(_))), "{records:?}");
        assert_eq!((loader.image().next_producer_id, loader.in_transaction()), (None, false));
    }
}

/// Kafka's snapshots hold a topic's partitions in no order, and its image is a map of what there is. No decision of a controller leaves a
/// gap; one that is in the log all the same is a partition that is not there, and no reason for a node to stop.
#[test]
fn partitions_come_in_any_order_and_one_may_be_missing() {
    let ordered = image(&[topic("a", 1), partition(1, 0, &[1]), partition(1, 1, &[2])]);
    assert_eq!(image(&[topic("a", 1), partition(1, 1, &[2]), partition(1, 0, &[1])]), ordered);
    let records = [topic("a", 1), partition(1, 2, &[1]), partition(1, 0, &[2])];
    let (gapped, _) = MetadataImage::default().apply(&records, at(9)).unwrap();
    let leaders =
        (0..3).map(|index| gapped.topics.partition(tip(1, index)).map(|partition| partition.leader));
    assert_eq!(leaders.collect::<Vec<_>>(), [Some(2), None, Some(1)]);
    let (again, _) = MetadataImage::default().apply(&gapped.to_records(), at(9)).unwrap();
    assert_eq!(again, gapped);
}

#[test]
fn a_delta_names_what_changed() {
    let before = image(&[
        topic("a", 1),
        partition(1, 0, &[1]),
        topic("b", 2),
        partition(2, 0, &[1]),
        config("b", "x", Some("1")),
    ]);
    let records = [
        topic("c", 3),
        partition(3, 0, &[1]),
        topic("gone", 4),
        partition(4, 0, &[1]),
        remove(4),
        change(1, 0, |record| record.leader = -1),
        remove(2),
        config("a", "y", Some("2")),
        producer_ids(1000),
    ];
    let (after, delta) = before.apply(&records, at(20)).unwrap();
    after.check_invariants();
    assert_eq!(delta.created_topics, [id(3)].into());
    assert_eq!(delta.deleted_topics.keys().collect::<Vec<_>>(), [&id(2)]);
    assert_eq!(delta.changed_partitions, [tip(1, 0), tip(3, 0)].into());
    assert_eq!(delta.configs, [ConfigResource::topic("a"), ConfigResource::topic("b")].into());
    assert!(delta.producer_ids && delta.brokers.is_empty());
    assert_eq!(MetadataDelta::between(&before, &after), delta, "the images alone tell the same");
    assert!(MetadataDelta::between(&after, &after).is_empty());
}

#[test]
fn a_topic_created_again_is_another() {
    let before = image(&[topic("a", 1), partition(1, 0, &[1])]);
    let (after, delta) = before.apply(&[remove(1), topic("a", 2), partition(2, 0, &[1])], at(20)).unwrap();
    assert!(delta.deleted_topics.contains_key(&id(1)) && delta.created_topics.contains(&id(2)));
    assert!(after.topics.by_id(id(1)).is_none());
    assert_eq!(after.topics.by_name("a").unwrap().id, id(2));
}

#[test]
fn images_share_what_did_not_change() {
    let before = image(&[topic("a", 1), partition(1, 0, &[1]), partition(1, 1, &[1]), topic("b", 2)]);
    let (after, _) = before.apply(&[change(1, 1, |record| record.leader = -1)], at(20)).unwrap();
    let shared =
        |name: &str| Arc::ptr_eq(before.topics.by_name(name).unwrap(), after.topics.by_name(name).unwrap());
    assert!(shared("b") && !shared("a"));
    let shared = |index| {
        Arc::ptr_eq(
            before.topics.partition(tip(1, index)).unwrap(),
            after.topics.partition(tip(1, index)).unwrap(),
        )
    };
    assert!(shared(0) && !shared(1));
    assert_eq!(before.topics.partition(tip(1, 1)).unwrap().leader, 1, "an image never changes");
}

#[test]
fn what_a_broker_has_to_do() {
    let before = image(&[
        topic("a", 1),
        partition(1, 0, &[1, 2]),
        partition(1, 1, &[2, 1]),
        partition(1, 2, &[1, 2]),
        partition(1, 3, &[2, 3]),
        topic("b", 2),
        partition(2, 0, &[2, 1]),
    ]);
    let records = [
        change(1, 0, |record| record.isr = Some(vec![1])),
        change(1, 1, |record| record.leader = 1),
        change(1, 2, |record| record.leader = 2),
        change(1, 3, |record| record.leader = 3),
        remove(2),
        topic("c", 3),
        partition(3, 0, &[3, 1]),
    ];
    let (after, delta) = before.apply(&records, at(20)).unwrap();
    let changes = delta.local_changes(&before, &after, 1);
    let leaders: Vec<_> =
        changes.leaders.iter().map(|replica| (replica.id, replica.new_leader_epoch)).collect();
    assert_eq!(leaders, [(tip(1, 0), false), (tip(1, 1), true)]);
    let followers: Vec<_> =
        changes.followers.iter().map(|replica| (replica.id, replica.new_leader_epoch)).collect();
    assert_eq!(followers, [(tip(1, 2), true), (tip(3, 0), true)]);
    let [removed] = changes.removed.as_slice() else { panic!("{changes:?}") };
    assert_eq!((removed.id, &*removed.topic, removed.topic_deleted), (tip(2, 0), "b", true));

    let (moved, delta) =
        after.apply(&[change(1, 0, |record| record.replicas = Some(vec![2]))], at(21)).unwrap();
    let changes = delta.local_changes(&after, &moved, 1);
    assert!(matches!(changes.removed.as_slice(), [removed] if !removed.topic_deleted));
}

#[test]
fn clearing_eligible_leader_replicas() {
    let with_elr = |number| change(number, 0, |record| record.eligible_leader_replicas = Some(vec![2]));
    let records = [
        topic("a", 1),
        partition(1, 0, &[1]),
        with_elr(1),
        topic("b", 2),
        partition(2, 0, &[1]),
        with_elr(2),
    ];
    let cases = [("a", [vec![], vec![2]]), ("", [vec![], vec![]])];
    for (name, expected) in cases {
        let clear = MetadataRecord::ClearElr(ClearElrRecord { topic_name: name.into() });
        let (before, _) = MetadataImage::default().apply(&records, at(9)).unwrap();
        let (after, _) = before.apply(&[clear], at(10)).unwrap();
        let elr = [1, 2].map(|number| after.topics.partition(tip(number, 0)).unwrap().elr.to_vec());
        assert_eq!(elr, expected, "'{name}'");
    }
}

#[test]
fn listings_continue_where_they_stopped() {
    let image = image(&[topic("b", 1), topic("a", 2), topic("d", 3)]);
    let names =
        |from: &str| image.topics.iter_from(from).map(|topic| topic.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(""), ["a", "b", "d"]);
    assert_eq!(names("b"), ["b", "d"]);
    assert_eq!(names("c"), ["d"]);
    assert!(names("e").is_empty());
}

#[test]
fn records_that_do_not_fit_are_refused_and_change_nothing() {
    let broker = MetadataRecord::RegisterBroker(RegisterBrokerRecord {
        broker_id: 1,
        broker_epoch: 5,
        ..Default::default()
    });
    let base = [topic("a", 1), partition(1, 0, &[1]), broker];
    let fence = |id, epoch| MetadataRecord::FenceBroker(FenceBrokerRecord { id, epoch });
    let level = |feature_level| {
        MetadataRecord::FeatureLevel(FeatureLevelRecord { name: "metadata.version".into(), feature_level })
    };
    let registration_change = |fenced, in_controlled_shutdown| {
        MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChangeRecord {
            broker_id: 1,
            broker_epoch: 5,
            fenced,
            in_controlled_shutdown,
            ..Default::default()
        })
    };
    let two_directories = change(1, 0, |record| record.directories = Some(vec![id(500), id(501)]));
    let count = PartitionError::DirectoryCount { directories: 2, replicas: 1 };
    let recovery = PartitionError::RecoveryState(9);
    let cases = [
        (remove(7), ApplyError::UnknownTopicId(id(7))),
        (partition(7, 0, &[1]), ApplyError::UnknownTopicId(id(7))),
        (change(1, 9, |_| {}), ApplyError::UnknownPartition(tip(1, 9))),
        (two_directories, ApplyError::Partition { id: tip(1, 0), source: count }),
        (
            change(1, 0, |record| record.leader_recovery_state = 9),
            ApplyError::Partition { id: tip(1, 0), source: recovery },
        ),
        (fence(9, 5), RegistrationError::UnknownBroker { broker_id: 9 }.into()),
        (fence(1, 6), RegistrationError::BrokerEpoch { broker_id: 1, current: 5, given: 6 }.into()),
        (registration_change(2, 0), RegistrationError::Fencing { broker_id: 1, value: 2 }.into()),
        (
            registration_change(0, -1),
            RegistrationError::ControlledShutdown { broker_id: 1, value: -1 }.into(),
        ),
        (
            MetadataRecord::ClearElr(ClearElrRecord { topic_name: "z".into() }),
            ApplyError::UnknownTopic("z".into()),
        ),
    ];
    for (record, error) in cases {
        let mut image = image(&base);
        let before = image.clone();
        assert_eq!(image.replay(&record, &mut MetadataDelta::default()), Err(error), "{record:?}");
        assert_eq!(image, before, "{record:?}");
    }
    assert!(matches!(image(&base).apply(&[level(99)], at(10)), Err(ApplyError::Feature(_))));
}
