//! The immutable picture of the cluster that replaying the metadata log yields.
//!
//! An image shares everything it can with the one before it: applying a record costs what the record changes, and cloning an image
//! costs a few reference counts. Readers hold an `Arc` of one and see no change until they take the next.

use klamm_protocol::Uuid;
use klamm_protocol::messages::partition_change_record::PartitionChangeRecord;
use klamm_protocol::messages::partition_record::PartitionRecord;
use klamm_protocol::metadata_record::MetadataRecord;
use thiserror::Error;

use crate::cluster::{BrokerRegistration, ClusterImage, ControllerRegistration, RegistrationError};
use crate::configs::{ConfigResource, ConfigResourceType, ConfigsImage};
use crate::delta::MetadataDelta;
use crate::features::{FeatureError, FinalizedFeatures};
use crate::metadata_version::MetadataVersion;
use crate::partition::{Partition, PartitionError};
use crate::security::{
    AclsImage, ClientQuotasImage, DelegationTokensImage, QuotaEntity, ScramImage, ScramKey,
};
use crate::topics::{Topic, TopicIdPartition, TopicsImage};

/// Up to where in the metadata log an image reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Offset of the last record applied, −1 before the first.
    pub last_offset: i64,
    /// Leader epoch of that record, −1 before the first.
    pub last_epoch: i32,
    /// Append time of that record in milliseconds, −1 before the first.
    pub last_timestamp_ms: i64,
}

impl Default for Provenance {
    fn default() -> Self {
        Self { last_offset: -1, last_epoch: -1, last_timestamp_ms: -1 }
    }
}

/// The cluster's metadata as of one offset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetadataImage {
    /// Where in the log this image stands.
    pub provenance: Provenance,
    /// Finalized feature levels.
    pub features: FinalizedFeatures,
    /// Registered brokers and controllers.
    pub cluster: ClusterImage,
    /// Topics and partitions.
    pub topics: TopicsImage,
    /// Dynamic settings.
    pub configs: ConfigsImage,
    /// Client quotas.
    pub client_quotas: ClientQuotasImage,
    /// The first producer id not yet handed out; none before the first block.
    pub next_producer_id: Option<i64>,
    /// Access control entries.
    pub acls: AclsImage,
    /// SCRAM credentials.
    pub scram: ScramImage,
    /// Delegation tokens.
    pub delegation_tokens: DelegationTokensImage,
}

/// A record that does not fit the image it is applied to: the log is damaged, or was written by newer software.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// The record names a topic that does not exist.
    #[error("no topic has id {0}")]
    UnknownTopicId(Uuid),
    /// The record names a topic that does not exist.
    #[error("no topic is named '{0}'")]
    UnknownTopic(String),
    /// The record changes a partition that does not exist.
    #[error("topic {} has no partition {}", .0.topic_id, .0.partition)]
    UnknownPartition(TopicIdPartition),
    /// The record contradicts itself or the partition it changes.
    #[error("partition {} of topic {}: {source}", .id.partition, .id.topic_id)]
    Partition {
        /// The partition named.
        id: TopicIdPartition,
        /// What is wrong.
        source: PartitionError,
    },
    /// The record does not fit the broker it names.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// This software cannot run at the level.
    #[error(transparent)]
    Feature(#[from] FeatureError),
    /// A transaction record where none may be.
    #[error("{0}")]
    Transaction(&'static str),
}

impl MetadataImage {
    /// The image after `records`, and what they changed. Where a record does not fit, nothing is applied.
    ///
    /// Transactions (KIP-868) are the loader's business: here their records are passed over.
    pub fn apply<'r, 'a: 'r>(
        &self,
        records: impl IntoIterator<Item = &'r MetadataRecord<'a>>,
        provenance: Provenance,
    ) -> Result<(Self, MetadataDelta), ApplyError> {
        let mut image = self.clone();
        let mut delta = MetadataDelta::default();
        for record in records {
            image.replay(record, &mut delta)?;
        }
        image.provenance = provenance;
        Ok((image, delta))
    }

    /// Applies one record in place and notes in `delta` what it changed. After an error the image is as before.
    pub fn replay(
        &mut self,
        record: &MetadataRecord<'_>,
        delta: &mut MetadataDelta,
    ) -> Result<(), ApplyError> {
        use MetadataRecord as R;
        match record {
            R::Topic(r) => self.replay_topic(&r.name, r.topic_id, delta),
            R::RemoveTopic(r) => return self.replay_remove_topic(r.topic_id, delta),
            R::Partition(r) => return self.replay_partition(r, delta),
            R::PartitionChange(r) => return self.replay_partition_change(r, delta),
            R::ClearElr(r) => return self.replay_clear_elr(&r.topic_name, delta),
            R::Config(r) => {
                let kind = ConfigResourceType::from_code(r.resource_type);
                let resource = ConfigResource { kind, name: r.resource_name.as_ref().into() };
                self.configs.set(resource.clone(), &r.name, r.value.as_deref());
                delta.configs.insert(resource);
            }
            R::FeatureLevel(r) => {
                self.features.apply(&r.name, r.feature_level)?;
                delta.features.insert(r.name.to_string());
            }
            R::ProducerIds(r) => {
                self.next_producer_id = Some(r.next_producer_id);
                delta.producer_ids = true;
            }
            R::RegisterBroker(_)
            | R::UnregisterBroker(_)
            | R::FenceBroker(_)
            | R::UnfenceBroker(_)
            | R::BrokerRegistrationChange(_)
            | R::RegisterController(_)
            | R::UnregisterController(_) => return self.replay_cluster(record, delta),
            R::UserScramCredential(_)
            | R::RemoveUserScramCredential(_)
            | R::AccessControlEntry(_)
            | R::RemoveAccessControlEntry(_)
            | R::ClientQuota(_)
            | R::DelegationToken(_)
            | R::RemoveDelegationToken(_) => self.replay_security(record, delta),
            R::NoOp(_)
            | R::ZkMigrationState(_)
            | R::BeginTransaction(_)
            | R::EndTransaction(_)
            | R::AbortTransaction(_) => {}
        }
        Ok(())
    }

    /// The cluster's metadata.version, or the lowest one while no record has set it.
    pub fn metadata_version(&self) -> MetadataVersion {
        self.features.metadata_version()
    }

    /// Panics where the image contradicts itself; for tests and simulation.
    pub fn check_invariants(&self) {
        self.topics.check_invariants();
    }

    fn replay_topic(&mut self, name: &str, id: Uuid, delta: &mut MetadataDelta) {
        if let Some(old) = self.topics.by_name(name).cloned() {
            self.forget_topic(old.id, delta);
        }
        self.topics.insert(Topic { name: name.into(), id, partitions: Default::default() });
        delta.created_topics.insert(id);
    }

    fn replay_remove_topic(&mut self, id: Uuid, delta: &mut MetadataDelta) -> Result<(), ApplyError> {
        let topic = self.topics.by_id(id).ok_or(ApplyError::UnknownTopicId(id))?;
        let resource = ConfigResource::topic(topic.name.clone());
        if self.configs.remove(&resource) {
            delta.configs.insert(resource);
        }
        self.forget_topic(id, delta);
        Ok(())
    }

    fn forget_topic(&mut self, id: Uuid, delta: &mut MetadataDelta) {
        let Some(topic) = self.topics.remove(id) else { return };
        for (partition, _) in topic.partitions() {
            delta.changed_partitions.remove(&TopicIdPartition { topic_id: id, partition });
        }
        if !delta.created_topics.remove(&id) {
            delta.deleted_topics.insert(id, topic);
        }
    }

    fn replay_partition(
        &mut self,
        record: &PartitionRecord,
        delta: &mut MetadataDelta,
    ) -> Result<(), ApplyError> {
        let id = TopicIdPartition { topic_id: record.topic_id, partition: record.partition_id };
        let partition =
            Partition::from_record(record).map_err(|source| ApplyError::Partition { id, source })?;
        self.set_partition(id, partition, delta)
    }

    fn replay_partition_change(
        &mut self,
        record: &PartitionChangeRecord,
        delta: &mut MetadataDelta,
    ) -> Result<(), ApplyError> {
        let id = TopicIdPartition { topic_id: record.topic_id, partition: record.partition_id };
        let old = self.topics.partition(id).ok_or(ApplyError::UnknownPartition(id))?;
        let partition = old.merge(record).map_err(|source| ApplyError::Partition { id, source })?;
        self.set_partition(id, partition, delta)
    }

    fn replay_clear_elr(&mut self, topic: &str, delta: &mut MetadataDelta) -> Result<(), ApplyError> {
        let topics: Vec<_> = if topic.is_empty() {
            self.topics.iter().cloned().collect()
        } else {
            let found = self.topics.by_name(topic);
            vec![found.cloned().ok_or_else(|| ApplyError::UnknownTopic(topic.to_owned()))?]
        };
        for topic in topics {
            for (index, partition) in topic.partitions() {
                let Some(cleared) = partition.without_elr() else { continue };
                self.set_partition(
                    TopicIdPartition { topic_id: topic.id, partition: index },
                    cleared,
                    delta,
                )?;
            }
        }
        Ok(())
    }

    fn set_partition(
        &mut self,
        id: TopicIdPartition,
        partition: Partition,
        delta: &mut MetadataDelta,
    ) -> Result<(), ApplyError> {
        if !self.topics.insert_partition(id, partition) {
            return Err(ApplyError::UnknownTopicId(id.topic_id));
        }
        delta.changed_partitions.insert(id);
        Ok(())
    }

    fn replay_cluster(
        &mut self,
        record: &MetadataRecord<'_>,
        delta: &mut MetadataDelta,
    ) -> Result<(), ApplyError> {
        use MetadataRecord as R;
        let cluster = &mut self.cluster;
        let broker = match record {
            R::RegisterBroker(r) => BrokerRegistration::from_record(r),
            R::FenceBroker(r) => BrokerRegistration {
                fenced: true,
                ..cluster.broker_of_epoch(r.id, r.epoch)?.as_ref().clone()
            },
            R::UnfenceBroker(r) => BrokerRegistration {
                fenced: false,
                ..cluster.broker_of_epoch(r.id, r.epoch)?.as_ref().clone()
            },
            R::BrokerRegistrationChange(r) => {
                cluster.broker_of_epoch(r.broker_id, r.broker_epoch)?.merge(r)?
            }
            R::UnregisterBroker(r) => {
                cluster.brokers.remove(&r.broker_id);
                delta.brokers.insert(r.broker_id);
                return Ok(());
            }
            R::RegisterController(r) => {
                cluster.controllers.insert(r.controller_id, ControllerRegistration::from_record(r).into());
                delta.controllers.insert(r.controller_id);
                return Ok(());
            }
            R::UnregisterController(r) => {
                cluster.controllers.remove(&r.controller_id);
                delta.controllers.insert(r.controller_id);
                return Ok(());
            }
            _ => return Ok(()),
        };
        delta.brokers.insert(broker.id);
        cluster.brokers.insert(broker.id, broker.into());
        Ok(())
    }

    fn replay_security(&mut self, record: &MetadataRecord<'_>, delta: &mut MetadataDelta) {
        use MetadataRecord as R;
        match record {
            R::UserScramCredential(r) => {
                let key = ScramKey { mechanism: r.mechanism, user: r.name.as_ref().into() };
                self.scram.credentials.insert(key.clone(), r.clone().into_static().into());
                delta.scram.insert(key);
            }
            R::RemoveUserScramCredential(r) => {
                let key = ScramKey { mechanism: r.mechanism, user: r.name.as_ref().into() };
                self.scram.credentials.remove(&key);
                delta.scram.insert(key);
            }
            R::AccessControlEntry(r) => {
                self.acls.entries.insert(r.id, r.clone().into_static().into());
                delta.acls.insert(r.id);
            }
            R::RemoveAccessControlEntry(r) => {
                self.acls.entries.remove(&r.id);
                delta.acls.insert(r.id);
            }
            R::ClientQuota(r) => {
                let entity = QuotaEntity::from_record(r);
                self.client_quotas.set(entity.clone(), &r.key, (!r.remove).then_some(r.value));
                delta.client_quotas.insert(entity);
            }
            R::DelegationToken(r) => {
                self.delegation_tokens
                    .tokens
                    .insert(r.token_id.as_ref().into(), r.clone().into_static().into());
                delta.delegation_tokens.insert(r.token_id.as_ref().into());
            }
            R::RemoveDelegationToken(r) => {
                self.delegation_tokens.tokens.remove(r.token_id.as_ref());
                delta.delegation_tokens.insert(r.token_id.as_ref().into());
            }
            _ => {}
        }
    }
}
