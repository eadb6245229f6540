//! Tells the controller in which log directories this broker keeps its replicas (KIP-858).
//!
//! The metadata follows the disks: whenever it changes for a replica that it has in another directory than this broker, the controller is
//! told. What is told is read when it is sent, and one request waits for the one before. One that was given up, and that the controller
//! carries out after a later one all the same, shows in the metadata and is set right like anything else.
//!
//! The directory of a replica that is empty in place of a lost copy is withheld as long as the metadata counts on that copy: for the
//! controller it would be that copy, and lead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use klamm_log::{LogDirs, TopicPartition};
use klamm_metadata::partition::Partition;
use klamm_metadata::{MetadataImage, TopicIdPartition, directory_id};
use klamm_protocol::Uuid;
use klamm_protocol::messages::AssignReplicasToDirsRequest;
use klamm_protocol::messages::assign_replicas_to_dirs_request::{DirectoryData, PartitionData, TopicData};
use parking_lot::Mutex;

use crate::broker::Broker;
use crate::environment::Place;
use crate::limits::ASSIGNMENTS_PER_REQUEST_MAX;
use crate::replicas::is_left_to_us;

/// Between two attempts to tell the controller of directories.
const TELL_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Replicas whose directories the controller may not know. None while nobody tells it.
#[derive(Default)]
pub(crate) struct UntoldReplicas(Mutex<Option<BTreeSet<TopicIdPartition>>>);

impl UntoldReplicas {
    /// True when nobody is telling the controller, and the caller must begin.
    fn add(&self, replicas: BTreeSet<TopicIdPartition>) -> bool {
        if replicas.is_empty() {
            return false;
        }
        let mut waiting = self.0.lock();
        let must_begin = waiting.is_none();
        waiting.get_or_insert_default().extend(replicas);
        must_begin
    }

    /// The next to be told. After `None` the next to be added need somebody who begins again.
    fn take(&self) -> Option<BTreeSet<TopicIdPartition>> {
        let mut waiting = self.0.lock();
        let all = waiting.take().filter(|all| !all.is_empty())?;
        let mut all = all.into_iter();
        let taken = all.by_ref().take(ASSIGNMENTS_PER_REQUEST_MAX).collect();
        *waiting = Some(all.collect());
        Some(taken)
    }
}

/// Tells the controller where these replicas are, as far as the metadata has them elsewhere. That may be because the choice was left to
/// this broker, or because they were moved.
pub(crate) fn tell<'r>(
    broker: &Arc<Broker>,
    image: &MetadataImage,
    replicas: impl IntoIterator<Item = &'r TopicIdPartition>,
) {
    let is_elsewhere =
        |id: &TopicIdPartition| untold_directory(image, broker.log_dirs(), broker.node_id(), *id).is_some();
    let untold = replicas.into_iter().copied().filter(is_elsewhere).collect();
    if !broker.untold_replicas.add(untold) {
        return;
    }
    let broker = broker.clone();
    broker.clone().environment().spawn(Place::Control, move || async move {
        let mut stopping = broker.stopping();
        tokio::select! {
            biased;
            () = tell_all(&broker) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    });
}

/// Until the controller has heard of all: a replica whose directory it takes for lost is never elected.
async fn tell_all(broker: &Broker) {
    while let Some(replicas) = broker.untold_replicas.take() {
        let (image, dirs, broker_id) = (broker.image(), broker.log_dirs(), broker.node_id());
        let directory = |id: &TopicIdPartition| Some((*id, untold_directory(&image, dirs, broker_id, *id)?));
        let directories = by_directory(replicas.iter().filter_map(directory));
        if !directories.is_empty() && !is_told(broker, directories).await {
            broker.untold_replicas.add(replicas);
            tokio::time::sleep(TELL_AGAIN_AFTER).await;
        }
    }
}

async fn is_told(broker: &Broker, directories: Vec<DirectoryData>) -> bool {
    let (broker_id, broker_epoch) = (broker.node_id(), broker.epoch());
    let request = AssignReplicasToDirsRequest { broker_id, broker_epoch, directories };
    match broker.ask_controller(request, broker.controller_timeout()).await {
        Ok(response) if !response.error_code.is_error() => return true,
        Ok(response) => tracing::debug!("the directories of replicas are refused: {}", response.error_code),
        Err(error) => tracing::debug!("the directories of replicas could not be told: {error}"),
    }
    false
}

/// The directory in which a broker has a replica, where the metadata has it in another. None while that is withheld, which the metadata
/// has to change for.
fn untold_directory(
    image: &MetadataImage,
    dirs: &LogDirs,
    broker_id: i32,
    id: TopicIdPartition,
) -> Option<Uuid> {
    let topic = image.topics.by_id(id.topic_id)?;
    let state = topic.partition(id.partition)?;
    let known = state.directory(broker_id)?;
    let replica = dirs.get(&TopicPartition::new(&*topic.name, id.partition))?;
    let is_of_topic = replica.topic_id.is_none_or(|topic_id| topic_id == id.topic_id);
    let actual = replica.directory.id().filter(|actual| is_of_topic && *actual != known)?;
    let is_empty = replica.log.log_end_offset() == 0;
    if is_empty && counts_on_lost_copy(state, broker_id, |directory| is_lost(dirs, directory)) {
        tracing::warn!(
            "the copy of {}-{} is lost with its directory, and the metadata counts on it: another replica has to become its leader",
            topic.name,
            id.partition,
        );
        return None;
    }
    Some(actual)
}

/// Whether committed records may be only in a copy of this broker's that is gone, as the metadata sees it. An empty replica in its place
/// must not pass for it: as the leader it would have all others cut their logs. Where there are no others it can do no harm.
fn counts_on_lost_copy(state: &Partition, broker_id: i32, is_lost: impl Fn(Uuid) -> bool) -> bool {
    let may_be_elected = [&state.elr, &state.last_known_elr].iter().any(|ids| ids.contains(&broker_id));
    state.replicas.len() > 1
        && state.directory(broker_id).is_some_and(is_lost)
        && (state.isr.contains(&broker_id) || may_be_elected && !state.has_leader())
}

/// Whether a directory in which the metadata has a replica of this broker is none of its own any more.
fn is_lost(dirs: &LogDirs, directory: Uuid) -> bool {
    directory == directory_id::LOST || !directory_id::is_reserved(directory) && is_left_to_us(dirs, directory)
}

fn by_directory(replicas: impl Iterator<Item = (TopicIdPartition, Uuid)>) -> Vec<DirectoryData> {
    let mut directories: BTreeMap<Uuid, BTreeMap<Uuid, Vec<PartitionData>>> = BTreeMap::new();
    for (id, directory) in replicas {
        let partition = PartitionData { partition_index: id.partition };
        directories.entry(directory).or_default().entry(id.topic_id).or_default().push(partition);
    }
    let directories = directories.into_iter().map(|(id, topics)| {
        let topics = topics.into_iter().map(|(topic_id, partitions)| TopicData { topic_id, partitions });
        DirectoryData { id, topics: topics.collect() }
    });
    directories.collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use klamm_log::LogConfig;
    use klamm_metadata::{MetadataRecord, Provenance};
    use klamm_protocol::messages::partition_record::PartitionRecord;
    use klamm_protocol::messages::topic_record::TopicRecord;

    use super::*;
    use crate::partition::tests::environment;

    const ID: TopicIdPartition = TopicIdPartition { topic_id: Uuid([5; 16]), partition: 0 };

    fn image(directory: Uuid) -> MetadataImage {
        let topic = TopicRecord { name: "t".into(), topic_id: ID.topic_id };
        let state = PartitionRecord {
            topic_id: ID.topic_id,
            partition_id: ID.partition,
            replicas: vec![1],
            directories: vec![directory],
            ..PartitionRecord::default()
        };
        let records = [MetadataRecord::Topic(topic), MetadataRecord::Partition(state)];
        MetadataImage::default().apply(&records, Provenance::default()).unwrap().0
    }

    #[test]
    fn what_is_told_is_where_the_replica_is_now() {
        let paths = ["/a", "/b"].map(PathBuf::from);
        let dirs = LogDirs::open(environment().disk, &paths, 10).unwrap();
        let mut ids = 1000..;
        dirs.format("cluster", 1, || Uuid::from_u128(ids.next().unwrap())).unwrap();
        let [a, b] = [0, 1].map(|index| dirs.directories()[index].id().unwrap());
        let told = |known: Uuid, broker_id| untold_directory(&image(known), &dirs, broker_id, ID);
        assert_eq!(told(directory_id::UNASSIGNED, 1), None, "it is not here yet");
        let name = TopicPartition::new("t", 0);
        dirs.create(&name, Some(ID.topic_id), Some(a), Arc::new(LogConfig::default()), 0).unwrap();
        assert_eq!([told(directory_id::UNASSIGNED, 1), told(a, 1)], [Some(a), None]);
        dirs.start_move(&name, b, 0).unwrap();
        let moving = dirs.move_of(&name).unwrap();
        assert_eq!(told(a, 1), None, "it is still where it was");
        while !dirs.copy_step(&moving, 1000, 0).unwrap().is_caught_up {}
        dirs.finish_move(&moving, 0).unwrap();
        assert_eq!([told(a, 1), told(b, 1)], [Some(b), None]);
        assert_eq!(told(a, 2), None, "the metadata has it on another broker");
        let gone = Uuid::from_u128(8 << 64);
        assert!([gone, directory_id::LOST].iter().all(|&directory| is_lost(&dirs, directory)));
        assert!([a, directory_id::UNASSIGNED].iter().all(|&directory| !is_lost(&dirs, directory)));
    }

    #[test]
    fn one_teller_takes_all_that_wait_and_what_comes_meanwhile() {
        let untold = UntoldReplicas::default();
        let replicas = |partitions: &[i32]| -> BTreeSet<_> {
            partitions.iter().map(|&partition| TopicIdPartition { partition, ..ID }).collect()
        };
        assert!(!untold.add(replicas(&[])));
        assert!(untold.add(replicas(&[1, 2])));
        assert_eq!(untold.take(), Some(replicas(&[1, 2])));
        assert!(!untold.add(replicas(&[2])), "it was moved while it was told");
        assert_eq!([untold.take(), untold.take()], [Some(replicas(&[2])), None]);
        assert!(untold.add(replicas(&[3])), "the teller has gone");
    }

    #[test]
    fn an_empty_replica_does_not_pass_for_a_lost_copy_that_counts() {
        let lost = Uuid::from_u128(8 << 64);
        let state = |isr: &[i32], elr: &[i32], leader| Partition {
            replicas: [1, 2].into(),
            directories: [lost, lost].into(),
            isr: isr.into(),
            elr: elr.into(),
            leader,
            ..Default::default()
        };
        let counts = |state: &_| counts_on_lost_copy(state, 1, |directory| directory == lost);
        assert!(counts(&state(&[1], &[], -1)), "only this broker had all");
        assert!(counts(&state(&[], &[1], -1)), "it was eligible");
        assert!(!counts(&state(&[2], &[1], 2)), "another leads: it is copied anew");
        assert!(!counts(&state(&[2], &[], 2)));
        let known = Partition { last_known_elr: [1].into(), ..state(&[], &[], -1) };
        assert!(counts(&known), "it led last");
        let alone = Partition { replicas: [1].into(), ..state(&[1], &[], -1) };
        assert!(!counts(&alone), "nobody else has a copy");
        assert!(!counts_on_lost_copy(&state(&[1], &[], -1), 1, |_| false), "it is where it was");
    }
}
