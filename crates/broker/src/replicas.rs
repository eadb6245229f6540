//! Makes this broker's partitions follow the metadata: created, led, configured and deleted as it says.
//!
//! New partitions are there before the image that tells clients of them is; deleted ones are gone from it before their files are.
//! Nothing is led or followed before the image has this incarnation of the broker: what was so before it started may be long over, and a
//! leader of the past would have followers of the past cut what is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use klamm_config::{BrokerConfig, TopicConfig};
use klamm_log::{CreateError, LogDirs, Replica, TopicPartition};
use klamm_metadata::configs::{ConfigResource, ConfigResourceType};
use klamm_metadata::{MetadataDelta, MetadataImage, Topic, TopicIdPartition, directory_id};
use klamm_protocol::Uuid;

use crate::broker::Broker;
use crate::config_rules::values;
use crate::controller::Publisher;
use crate::groups::GroupCoordinator;
use crate::internal_topics::CONSUMER_OFFSETS;
use crate::partition::{HostedTopics, Partition, PartitionSettings};
use crate::replication::key_of;
use crate::{offline_directories, replica_directories};

/// The publisher of a broker.
pub(crate) struct Replicas {
    broker: Arc<Broker>,
    /// Whether the latest metadata had this incarnation of the broker.
    is_registered: bool,
}

/// A partition that is to be here.
struct Wanted {
    name: Arc<str>,
    id: TopicIdPartition,
    directory: Uuid,
    settings: Arc<PartitionSettings>,
}

impl Publisher for Replicas {
    fn publish(
        &mut self,
        image: Arc<MetadataImage>,
        delta: Option<MetadataDelta>,
    ) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        let delta = delta.unwrap_or_else(|| everything(&image));
        Box::pin(self.follow(image, delta))
    }
}

/// The delta from nothing.
fn everything(image: &MetadataImage) -> MetadataDelta {
    let partitions = image.topics.iter().flat_map(|topic| {
        topic.partitions().map(|(partition, _)| TopicIdPartition { topic_id: topic.id, partition })
    });
    MetadataDelta {
        created_topics: image.topics.iter().map(|topic| topic.id).collect(),
        changed_partitions: partitions.collect(),
        configs: image.configs.iter().map(|(resource, _)| resource.clone()).collect(),
        ..MetadataDelta::default()
    }
}

impl Replicas {
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        Self { broker, is_registered: false }
    }

    async fn follow(&mut self, image: Arc<MetadataImage>, delta: MetadataDelta) {
        let broker = self.broker.clone();
        let _following = broker.following.lock().await;
        self.follow_configs(&image, &delta.configs);
        let mut hosted = HostedTopics::clone(&self.broker.hosted());
        let mut deleted = self.delete_topics(&mut hosted, &delta.deleted_topics);
        deleted.extend(self.leave_reassigned(&image, &delta.changed_partitions, &mut hosted));
        // Where there is a new topic of that name, its folders need the place.
        let is_renewed = |gone: &TopicPartition| image.topics.by_name(&gone.topic).is_some();
        let (renewed, deleted): (Vec<_>, Vec<_>) = deleted.into_iter().partition(is_renewed);
        self.remove_files(renewed).await;
        self.create_missing(&image, &delta.changed_partitions, &mut hosted).await;
        offline_directories::leave_replicas(&self.broker, &mut hosted);
        let coordinating = self.follow_leaders(&image, &delta.changed_partitions, &hosted);
        if !delta.brokers.is_empty() {
            tell_of_brokers(&image, &hosted);
        }
        self.broker.hosted.store(Arc::new(hosted));
        self.broker.publish_image(image.clone());
        tell_groups(self.broker.groups(), &delta.deleted_topics, coordinating);
        self.remove_files(deleted).await;
        replica_directories::tell(&self.broker, &image, &delta.changed_partitions);
    }

    /// Rebuilds the settings that a change touches: the broker's with all topics', or single topics'.
    fn follow_configs(&self, image: &MetadataImage, changed: &BTreeSet<ConfigResource>) {
        if changed.iter().any(|resource| resource.kind == ConfigResourceType::Broker) {
            self.follow_broker_config(image);
            let hosted = self.broker.hosted();
            hosted.topics().for_each(|topic| self.configure(image, topic.name(), topic.partitions()));
            return;
        }
        let hosted = self.broker.hosted();
        for resource in changed.iter().filter(|resource| resource.kind == ConfigResourceType::Topic) {
            if let Some(topic) = hosted.by_name(&resource.name) {
                self.configure(image, topic.name(), topic.partitions());
            }
        }
    }

    fn follow_broker_config(&self, image: &MetadataImage) {
        let dynamic = |resource| {
            image.configs.of(&resource).map(|settings| values(settings.iter())).unwrap_or_default()
        };
        let cluster = dynamic(ConfigResource::all_brokers());
        let own = dynamic(ConfigResource::broker(self.broker.node_id()));
        let (layers, refused) = self.broker.layers().with_dynamic(&cluster, &own);
        for error in refused {
            tracing::warn!("a setting in the metadata log is not used: {error}");
        }
        match BrokerConfig::new(&layers) {
            Ok(config) => {
                self.broker.throttles().follow(&config);
                self.broker.config.store(Arc::new(config));
            }
            Err(conflict) => tracing::warn!("the settings in the metadata log are not used: {conflict}"),
        }
        self.broker.layers.store(Arc::new(layers));
        offline_directories::cordon(&self.broker);
    }

    fn configure<'p>(
        &self,
        image: &MetadataImage,
        topic: &str,
        partitions: impl Iterator<Item = &'p Arc<Partition>>,
    ) {
        let settings = self.settings_of(image, topic);
        partitions.for_each(|partition| partition.set_settings(settings.clone()));
    }

    fn settings_of(&self, image: &MetadataImage, topic: &str) -> Arc<PartitionSettings> {
        let defaults = TopicConfig::defaults(&self.broker.layers());
        let overrides = image.configs.of(&ConfigResource::topic(topic));
        let overrides = overrides.map(|settings| values(settings.iter())).unwrap_or_default();
        let (config, refused) = defaults.with_valid_overrides(&overrides);
        for error in refused {
            tracing::warn!("a setting of topic {topic} is not used: {error}");
        }
        Arc::new(PartitionSettings::new(config, &self.broker.config()))
    }

    fn delete_topics(
        &self,
        hosted: &mut HostedTopics,
        deleted: &BTreeMap<Uuid, Arc<Topic>>,
    ) -> Vec<TopicPartition> {
        let mut gone = Vec::new();
        for (id, topic) in deleted {
            hosted.remove(*id).iter().for_each(|partition| give_up(&self.broker, partition));
            // Those too whose folder could not be loaded.
            let here =
                topic.partitions().filter(|(_, state)| state.replicas.contains(&self.broker.node_id()));
            gone.extend(here.map(|(index, _)| name_of(&topic.name, index)));
        }
        gone
    }

    /// Gives up the partitions whose replicas are elsewhere now.
    fn leave_reassigned(
        &self,
        image: &MetadataImage,
        changed: &BTreeSet<TopicIdPartition>,
        hosted: &mut HostedTopics,
    ) -> Vec<TopicPartition> {
        let node_id = self.broker.node_id();
        let is_elsewhere = |id: &&TopicIdPartition| {
            image.topics.partition(**id).is_some_and(|state| !state.replicas.contains(&node_id))
        };
        let left = changed.iter().filter(is_elsewhere).filter_map(|id| {
            let partition = hosted.remove_partition(id.topic_id, id.partition)?;
            give_up(&self.broker, &partition);
            if &**partition.topic() == CONSUMER_OFFSETS {
                self.broker.groups().unload(id.partition);
            }
            Some(name_of(partition.topic(), id.partition))
        });
        left.collect()
    }

    /// Opens or creates the partitions that are to be here and are not yet.
    async fn create_missing(
        &self,
        image: &MetadataImage,
        changed: &BTreeSet<TopicIdPartition>,
        hosted: &mut HostedTopics,
    ) {
        let wanted = self.missing(image, changed, hosted);
        if wanted.is_empty() {
            return;
        }
        let (dirs, clock) = (self.broker.log_dirs().clone(), self.broker.environment().clock.clone());
        let opened =
            self.broker.environment().blocking(move || open_all(&dirs, wanted, clock.now_ms())).await;
        let mut by_topic: BTreeMap<(Arc<str>, Uuid), Vec<Arc<Partition>>> = BTreeMap::new();
        for (wanted, replica) in opened.unwrap_or_default() {
            let Wanted { name, id, settings, .. } = wanted;
            let environment = self.broker.environment().clone();
            let dirs = self.broker.log_dirs().clone();
            let (topic_id, index) = (id.topic_id, id.partition);
            let partition =
                Partition::new(name.clone(), topic_id, index, replica.log, settings, dirs, environment);
            by_topic.entry((name, id.topic_id)).or_default().push(Arc::new(partition));
        }
        for ((name, id), partitions) in by_topic {
            hosted.insert(&name, id, partitions);
        }
    }

    fn missing(
        &self,
        image: &MetadataImage,
        changed: &BTreeSet<TopicIdPartition>,
        hosted: &HostedTopics,
    ) -> Vec<Wanted> {
        let mut settings: BTreeMap<Uuid, Arc<PartitionSettings>> = BTreeMap::new();
        let mut wanted = Vec::new();
        for &id in changed {
            let is_here =
                hosted.by_id(id.topic_id).is_some_and(|topic| topic.partition(id.partition).is_some());
            let (Some(topic), Some(partition)) =
                (image.topics.by_id(id.topic_id), image.topics.partition(id))
            else {
                continue;
            };
            let Some(directory) = partition.directory(self.broker.node_id()).filter(|_| !is_here) else {
                continue;
            };
            let settings =
                settings.entry(id.topic_id).or_insert_with(|| self.settings_of(image, &topic.name));
            wanted.push(Wanted { name: topic.name.clone(), id, directory, settings: settings.clone() });
        }
        wanted
    }

    /// Tells partitions who leads them. Returns those of the offsets topic whose lead came or went: the index, and the partition where
    /// it came.
    fn follow_leaders(
        &mut self,
        image: &MetadataImage,
        changed: &BTreeSet<TopicIdPartition>,
        hosted: &HostedTopics,
    ) -> Vec<(i32, Option<Arc<Partition>>)> {
        let mut coordinating = Vec::new();
        let own = image.cluster.broker(self.broker.node_id());
        if own.is_none_or(|own| own.incarnation_id != self.broker.incarnation_id) {
            // What changes until it is registered again is caught up on then.
            self.is_registered = false;
            return coordinating;
        }
        let all = (!self.is_registered).then(|| everything(image).changed_partitions);
        self.is_registered = true;
        for &id in all.as_ref().unwrap_or(changed) {
            let local = hosted.by_id(id.topic_id).and_then(|topic| topic.partition(id.partition));
            let (Some(local), Some(state)) = (local, image.topics.partition(id)) else { continue };
            let had_lead = local.leadership().is_here;
            let has_lead = state.leader == self.broker.node_id();
            let followed = local.follow(self.broker.node_id(), state, &image.cluster);
            if let Some(proposal) = followed.proposal {
                self.broker.isr_changes().propose(local.clone(), proposal);
            }
            if has_lead || !state.has_leader() {
                self.broker.fetchers().leave(key_of(local));
            } else if followed.is_new_epoch {
                self.broker.fetchers().follow(&self.broker, local.clone(), state.leader);
            }
            // Who catches up may have passed over somebody else's lead.
            let is_led_anew = all.is_some() && has_lead && followed.is_new_epoch;
            if &**local.topic() == CONSUMER_OFFSETS && (had_lead != has_lead || is_led_anew) {
                coordinating.push((id.partition, has_lead.then(|| local.clone())));
            }
        }
        coordinating
    }

    async fn remove_files(&self, gone: Vec<TopicPartition>) {
        if gone.is_empty() {
            return;
        }
        let (dirs, clock) = (self.broker.log_dirs().clone(), self.broker.environment().clock.clone());
        let gone: BTreeSet<TopicPartition> = gone.into_iter().collect();
        let removed = self.broker.environment().blocking(move || {
            for error in dirs.delete_all(&gone, clock.now_ms()) {
                tracing::error!("a partition cannot be set aside for deletion: {error}");
            }
        });
        let _ = removed.await;
    }
}

/// Tells the group coordinator what of the offsets topic is led here now. What was deleted goes before what came: it may have been made
/// anew under the same name at once.
fn tell_groups(
    groups: &Arc<GroupCoordinator>,
    deleted: &BTreeMap<Uuid, Arc<Topic>>,
    coordinating: Vec<(i32, Option<Arc<Partition>>)>,
) {
    if let Some(offsets) = deleted.values().find(|topic| &*topic.name == CONSUMER_OFFSETS) {
        offsets.partitions().for_each(|(index, _)| groups.unload(index));
    }
    for (index, partition) in coordinating {
        match partition {
            Some(partition) => groups.load(partition),
            None => groups.unload(index),
        }
    }
    let gone: Vec<(Uuid, &str)> = deleted.values().map(|topic| (topic.id, &*topic.name)).collect();
    if !gone.is_empty() {
        groups.topics_deleted(&gone);
    }
}

fn tell_of_brokers(image: &MetadataImage, hosted: &HostedTopics) {
    for partition in hosted.partitions() {
        let id = TopicIdPartition { topic_id: partition.topic_id(), partition: partition.index() };
        if let Some(state) = image.topics.partition(id) {
            partition.brokers_changed(state, &image.cluster);
        }
    }
}

/// Nobody gets anything from a partition any more, and it follows nobody.
pub(crate) fn give_up(broker: &Broker, partition: &Partition) {
    broker.fetchers().leave(key_of(partition));
    partition.retire();
}

fn name_of(topic: &Arc<str>, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.to_string(), partition }
}

/// Sets replicas aside that the metadata does not have on this broker: their topics were deleted while it was down, or are
/// those of another cluster. Nothing is removed.
pub(crate) fn set_strays_aside(broker: &Broker) {
    let (dirs, image) = (broker.log_dirs(), broker.image());
    for (name, replica) in dirs.replicas() {
        let topic = image.topics.by_name(&name.topic);
        let topic = topic.filter(|topic| replica.topic_id.is_none_or(|id| id == topic.id));
        let partition = topic.and_then(|topic| topic.partition(name.partition));
        if partition.is_some_and(|partition| partition.replicas.contains(&broker.node_id())) {
            continue;
        }
        tracing::warn!("the metadata does not have {name} on this broker: its folder is set aside as stray");
        if let Err(error) = dirs.set_aside(&name, replica.topic_id, broker.environment().clock.now_ms()) {
            broker.note_storage_error(&error);
        }
    }
    dirs.set_namesakes_aside(|_| true, broker.environment().clock.now_ms());
}

/// Opens or creates each; what fails is logged and left out, so that requests for it are refused.
fn open_all(dirs: &LogDirs, wanted: Vec<Wanted>, now_ms: i64) -> Vec<(Wanted, Replica)> {
    let mut opened = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        match open(dirs, &wanted, now_ms) {
            Ok(replica) => opened.push((wanted, replica)),
            // Told when the directory went offline.
            Err(CreateError::NoDirectory) => {
                tracing::debug!("{}-{} has no usable directory", wanted.name, wanted.id.partition)
            }
            Err(error) => {
                tracing::error!("{}-{} cannot be opened: {error}", wanted.name, wanted.id.partition)
            }
        }
    }
    opened
}

fn open(dirs: &LogDirs, wanted: &Wanted, now_ms: i64) -> Result<Replica, CreateError> {
    let partition = name_of(&wanted.name, wanted.id.partition);
    let topic_id = wanted.id.topic_id;
    dirs.choose(&partition, topic_id);
    let here = dirs.get(&partition);
    if here.as_ref().is_some_and(|here| !here.directory.is_online()) {
        return Err(CreateError::NoDirectory);
    }
    let failed = dirs.failed(&partition).and_then(|failed| failed.topic_id);
    match here.as_ref().map_or(failed, |replica| replica.topic_id) {
        Some(other) if other != topic_id => {
            tracing::warn!(
                "the folder of {partition} belongs to another topic of that name, and is set aside"
            );
            dirs.set_aside(&partition, Some(other), now_ms)?;
        }
        known => {
            if let Some(replica) = here {
                if known.is_none()
                    && let Err(error) = dirs.assign_topic_id(&partition, topic_id)
                {
                    tracing::error!("the topic's id is not written: {error}");
                }
                return Ok(replica);
            }
        }
    }
    let directory = Some(wanted.directory).filter(|id| !is_left_to_us(dirs, *id));
    dirs.create(&partition, Some(topic_id), directory, wanted.settings.log.clone(), now_ms)
}

/// Whether this broker chooses the directory of a replica that the metadata has in this one: where it leaves the choice to the broker, and
/// where the directory is gone, its disk replaced by another. While a directory is offline it could be that one.
pub(crate) fn is_left_to_us(dirs: &LogDirs, directory: Uuid) -> bool {
    let mut others = dirs.directories().iter();
    directory_id::is_reserved(directory)
        || others.all(|ours| ours.is_online() && ours.id() != Some(directory))
}

#[cfg(test)]
mod tests {
    use klamm_coordinator::{GroupSettings, Shard};
    use klamm_log::disk::RealDisk;
    use klamm_metadata::{MetadataRecord, Provenance};
    use klamm_protocol::messages::partition_record::PartitionRecord;
    use klamm_protocol::messages::topic_record::TopicRecord;

    use super::*;
    use crate::partition::tests::{environment, partition};

    /// Both may come in one delta, to a broker that was behind.
    #[test]
    fn an_offsets_topic_that_was_made_anew_at_once_is_coordinated() {
        let topic_id = Uuid::from_u128(1);
        let topic = TopicRecord { name: CONSUMER_OFFSETS.into(), topic_id };
        let state = PartitionRecord { partition_id: 0, topic_id, replicas: vec![1], ..Default::default() };
        let records = [MetadataRecord::Topic(topic), MetadataRecord::Partition(state)];
        let image = MetadataImage::default().apply(&records, Provenance::default()).unwrap().0;
        let deleted = [(topic_id, image.topics.by_id(topic_id).unwrap().clone())].into();
        let groups = Arc::new(GroupCoordinator::new(environment(), GroupSettings::default(), 1));
        groups.load(partition(CONSUMER_OFFSETS));
        tell_groups(&groups, &deleted, vec![(0, Some(partition(CONSUMER_OFFSETS)))]);
        assert!(groups.read(0, Shard::is_loading), "the shard of the new topic is there");
        tell_groups(&groups, &deleted, Vec::new());
        assert!(!groups.read(0, Shard::is_loading));
    }

    #[test]
    fn a_directory_that_is_gone_leaves_the_choice_to_the_broker() {
        let folder = tempfile::tempdir().unwrap();
        let dirs = LogDirs::open(Arc::new(RealDisk), &[folder.path().to_owned()], 10).unwrap();
        dirs.format("cluster", 1, || Uuid::from_u128(7 << 64)).unwrap();
        let ours = dirs.directories()[0].id().unwrap();
        assert!(!is_left_to_us(&dirs, ours));
        assert!(is_left_to_us(&dirs, directory_id::UNASSIGNED));
        assert!(is_left_to_us(&dirs, Uuid::from_u128(8 << 64)), "the disk was replaced");
    }
}
