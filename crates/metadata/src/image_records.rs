//! An image as records: what a snapshot holds.

use klamm_protocol::messages::config_record::ConfigRecord;
use klamm_protocol::messages::feature_level_record::FeatureLevelRecord;
use klamm_protocol::messages::producer_ids_record::ProducerIdsRecord;
use klamm_protocol::messages::topic_record::TopicRecord;
use klamm_protocol::metadata_record::MetadataRecord;

use crate::image::{ApplyError, MetadataImage, Provenance};
use crate::metadata_version::MetadataVersion;

impl MetadataImage {
    /// The records that rebuild this image, `metadata.version` first. What the image's own metadata.version cannot carry is left out.
    pub fn to_records(&self) -> Vec<MetadataRecord<'static>> {
        let version = self.metadata_version();
        let mut records = Vec::new();
        self.write_features(&mut records);
        self.write_cluster(version, &mut records);
        self.write_topics(version, &mut records);
        self.write_configs(&mut records);
        self.write_quotas_and_producer_ids(&mut records);
        self.write_security(version, &mut records);
        records
    }

    /// The image that a snapshot's records rebuild.
    pub fn from_snapshot(records: &[MetadataRecord<'_>], provenance: Provenance) -> Result<Self, ApplyError> {
        Self::default().apply(records, provenance).map(|(image, _)| image)
    }

    fn write_features(&self, records: &mut Vec<MetadataRecord<'static>>) {
        let is_other = |name: &str| name != MetadataVersion::FEATURE_NAME;
        let first = self.features.iter().filter(|(name, _)| !is_other(name));
        let others = self.features.iter().filter(|(name, _)| is_other(name));
        records.extend(first.chain(others).map(|(name, feature_level)| {
            MetadataRecord::FeatureLevel(FeatureLevelRecord { name: name.into(), feature_level })
        }));
    }

    fn write_cluster(&self, version: MetadataVersion, records: &mut Vec<MetadataRecord<'static>>) {
        let brokers = self.cluster.brokers();
        records.extend(brokers.map(|broker| MetadataRecord::RegisterBroker(broker.to_record(version))));
        if version.supports_controller_registration() {
            let controllers = self.cluster.controllers();
            let record = |controller: &std::sync::Arc<crate::cluster::ControllerRegistration>| {
                MetadataRecord::RegisterController(controller.to_record())
            };
            records.extend(controllers.map(record));
        }
    }

    fn write_topics(&self, version: MetadataVersion, records: &mut Vec<MetadataRecord<'static>>) {
        for topic in self.topics.iter() {
            let name = topic.name.to_string().into();
            records.push(MetadataRecord::Topic(TopicRecord { name, topic_id: topic.id }));
            records.extend(topic.partitions().map(|(index, partition)| {
                MetadataRecord::Partition(partition.to_record(topic.id, index, version))
            }));
        }
    }

    fn write_configs(&self, records: &mut Vec<MetadataRecord<'static>>) {
        for (resource, settings) in self.configs.iter() {
            records.extend(settings.iter().map(|(name, value)| {
                MetadataRecord::Config(ConfigRecord {
                    resource_type: resource.kind.code(),
                    resource_name: resource.name.to_string().into(),
                    name: name.to_string().into(),
                    value: Some(value.to_string().into()),
                })
            }));
        }
    }

    fn write_quotas_and_producer_ids(&self, records: &mut Vec<MetadataRecord<'static>>) {
        for (entity, quotas) in self.client_quotas.iter() {
            let record = |(key, &value): (&std::sync::Arc<str>, &f64)| entity.to_record(key, value);
            records.extend(quotas.iter().map(record).map(MetadataRecord::ClientQuota));
        }
        records.extend(self.next_producer_id.map(|next_producer_id| {
            let record = ProducerIdsRecord { broker_id: -1, broker_epoch: -1, next_producer_id };
            MetadataRecord::ProducerIds(record)
        }));
    }

    fn write_security(&self, version: MetadataVersion, records: &mut Vec<MetadataRecord<'static>>) {
        let acls = self.acls.iter();
        records.extend(acls.map(|(_, acl)| MetadataRecord::AccessControlEntry(acl.as_ref().clone())));
        if version.supports_scram() {
            let credentials = self.scram.iter();
            records.extend(
                credentials.map(|(_, record)| MetadataRecord::UserScramCredential(record.as_ref().clone())),
            );
        }
        if version.supports_delegation_tokens() {
            let tokens = self.delegation_tokens.iter();
            records.extend(tokens.map(|(_, token)| MetadataRecord::DelegationToken(token.as_ref().clone())));
        }
    }
}
