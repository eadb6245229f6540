//! A controller with a log of its own: what it decides is written as a batch, read back, applied, and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use klamm_controller::{
    Appended, ConfigChanges, ConfigRules, Controller, ControllerConfig, Decision, EffectiveConfig, Step,
    bootstrap_records,
};
use klamm_metadata::configs::{ConfigMap, ConfigResource, ConfigResourceType, ConfigsImage};
use klamm_metadata::features::supported_features;
use klamm_metadata::log_batch::{BatchContents, decode_batch, encode_metadata_batch};
use klamm_metadata::partition::Partition;
use klamm_metadata::snapshot::Snapshot;
use klamm_metadata::{MetadataImage, MetadataRecord, MetadataVersion, Topic};
use klamm_protocol::messages::broker_registration_request::{Feature, Listener};
use klamm_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use klamm_protocol::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest, CreateTopicsRequest,
    CreateTopicsResponse,
};
use klamm_protocol::{ErrorCode, Uuid};
use klamm_records::Batch;

pub(crate) const CLUSTER_ID: &str = "qaQUwpWNRjuY0Ipg0pqDoA";

pub(crate) struct Cluster {
    pub(crate) controller: Controller,
    pub(crate) now_ms: i64,
    pub(crate) next_offset: i64,
    random: u64,
}

/// A few settings, enough to see that the controller asks.
struct Rules;

impl ConfigRules for Rules {
    fn validate(&self, _: &ConfigsImage, _: &ConfigResource, changes: &ConfigChanges) -> Result<(), String> {
        match changes.iter().find(|(name, value)| name.starts_with("bad") && value.is_some()) {
            Some((name, _)) => Err(format!("'{name}' cannot be set")),
            None => Ok(()),
        }
    }

    fn is_list(&self, _: ConfigResourceType, name: &str) -> bool {
        name == "cleanup.policy"
    }

    fn static_value(&self, _: ConfigResourceType, name: &str) -> Option<String> {
        let value = match name {
            "min.insync.replicas" => "1",
            "unclean.leader.election.enable" => "false",
            "cleanup.policy" => "delete",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn effective_topic_configs(
        &self,
        overrides: &BTreeMap<Arc<str>, Arc<str>>,
        _: &ConfigMap,
        _: &ConfigMap,
    ) -> Vec<EffectiveConfig> {
        let config = |(name, value): (&Arc<str>, &Arc<str>)| EffectiveConfig {
            name: name.to_string(),
            value: Some(value.to_string()),
            read_only: false,
            source: 1,
            is_sensitive: false,
        };
        overrides.iter().map(config).collect()
    }
}

pub(crate) fn config() -> ControllerConfig {
    ControllerConfig {
        node_id: 1,
        cluster_id: CLUSTER_ID.to_owned(),
        default_partitions: 2,
        default_replication_factor: 1,
        session_timeout_ms: 9_000,
        elections_per_step_max: 1_000,
        features: supported_features().into_iter().map(|(name, range)| (name.to_owned(), range)).collect(),
        quorum_node_ids: BTreeSet::from([1]),
    }
}

impl Cluster {
    /// A controller before the first record.
    pub(crate) fn empty() -> Self {
        let controller = Controller::new(config(), Arc::new(Rules), MetadataImage::default(), 0);
        Self { controller, now_ms: 0, next_offset: 1, random: 0 }
    }

    /// A cluster formatted at a metadata.version, its first records written.
    pub(crate) fn formatted(version: MetadataVersion) -> Self {
        let mut cluster = Self::empty();
        let formatted = Snapshot::bootstrap(version, 0, Default::default()).records;
        let records = bootstrap_records(cluster.controller.image(), false, &formatted, 1);
        cluster.commit(&records);
        cluster
    }

    /// A newly formatted cluster with these brokers registered and unfenced.
    pub(crate) fn with_brokers(ids: &[i32]) -> Self {
        let mut cluster = Self::formatted(MetadataVersion::LATEST);
        for &id in ids {
            cluster.start_broker(id);
        }
        cluster
    }

    /// Takes a decision, writes its records, reads them back and applies them.
    pub(crate) fn decide<R>(&mut self, decide: impl FnOnce(&Controller, &mut Step<'_>) -> Decision<R>) -> R {
        self.decide_with_records(decide).0
    }

    pub(crate) fn decide_with_records<R>(
        &mut self,
        decide: impl FnOnce(&Controller, &mut Step<'_>) -> Decision<R>,
    ) -> (R, Vec<MetadataRecord<'static>>) {
        let random = &mut self.random;
        let mut draw = || {
            *random += 1;
            random.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        let mut step = Step { now_ms: self.now_ms, next_offset: self.next_offset, random: &mut draw };
        let Decision { records, response } = decide(&self.controller, &mut step);
        self.commit(&records);
        (response, records)
    }

    pub(crate) fn commit(&mut self, records: &[MetadataRecord<'static>]) {
        if records.is_empty() {
            return;
        }
        let version = self.controller.image().metadata_version();
        let bytes = encode_metadata_batch(self.next_offset, 1, self.now_ms, records, version).unwrap();
        let batch = decode_batch(&Batch::parse(&bytes).unwrap()).unwrap();
        assert_eq!(
            batch.contents,
            BatchContents::Metadata(records.to_vec()),
            "the log keeps what was decided"
        );
        for record in records {
            let (offset, now_ms) = (self.next_offset, self.now_ms);
            self.controller.apply(Appended { offset, timestamp_ms: now_ms, now_ms }, record).unwrap();
            self.next_offset += 1;
        }
        self.controller.check_invariants();
        let image = self.controller.image();
        let rebuilt = MetadataImage::from_snapshot(&image.to_records(), image.provenance).unwrap();
        assert!(rebuilt == *image, "a snapshot would hold everything");
    }

    pub(crate) fn register(&mut self, request: &BrokerRegistrationRequest<'_>) -> Result<i64, ErrorCode> {
        let response = self.decide(|controller, step| controller.register_broker(step, request));
        response.error_code.check().map(|()| response.broker_epoch)
    }

    /// Registers a broker of a new incarnation and has it unfenced.
    pub(crate) fn start_broker(&mut self, id: i32) {
        let incarnation = self.next_offset as u128;
        let previous_broker_epoch = self.epoch(id).unwrap_or(-1);
        self.register(&BrokerRegistrationRequest { previous_broker_epoch, ..registration(id, incarnation) })
            .unwrap();
        let response = self.heartbeat(id, |_| {});
        assert!(!response.is_fenced && response.is_caught_up);
    }

    pub(crate) fn heartbeat(
        &mut self,
        id: i32,
        edit: impl FnOnce(&mut BrokerHeartbeatRequest),
    ) -> BrokerHeartbeatResponse {
        let mut request = BrokerHeartbeatRequest {
            broker_id: id,
            broker_epoch: self.epoch(id).unwrap_or(-1),
            current_metadata_offset: self.next_offset - 1,
            ..Default::default()
        };
        edit(&mut request);
        self.controller.touch(self.now_ms, &request);
        self.decide(|controller, _| controller.heartbeat(&request))
    }

    pub(crate) fn epoch(&self, id: i32) -> Option<i64> {
        self.controller.image().cluster.broker(id).map(|broker| broker.epoch)
    }

    pub(crate) fn create(&mut self, topics: Vec<CreatableTopic<'static>>) -> CreateTopicsResponse<'static> {
        let request = CreateTopicsRequest { topics, ..Default::default() };
        self.decide(|controller, step| controller.create_topics(step, &request, &|_| true))
    }

    /// Creates a topic with replicas assigned by hand.
    pub(crate) fn create_assigned(&mut self, name: &'static str, assignments: &[&[i32]]) {
        let response = self.create(vec![assigned(name, assignments)]);
        assert_eq!(response.topics[0].error_code, ErrorCode::NONE, "{:?}", response.topics[0]);
    }

    pub(crate) fn topic(&self, name: &str) -> &Topic {
        self.controller.image().topics.by_name(name).unwrap()
    }

    pub(crate) fn partition(&self, name: &str, index: i32) -> &Partition {
        self.topic(name).partition(index).unwrap()
    }
}

pub(crate) fn assigned(name: &'static str, assignments: &[&[i32]]) -> CreatableTopic<'static> {
    let indexed = assignments.iter().zip(0..);
    let assignments = indexed.map(|(brokers, partition_index)| CreatableReplicaAssignment {
        partition_index,
        broker_ids: brokers.to_vec(),
    });
    CreatableTopic {
        name: name.into(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: assignments.collect(),
        ..Default::default()
    }
}

pub(crate) fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic<'static> {
    CreatableTopic { name: name.to_owned().into(), num_partitions, replication_factor, ..Default::default() }
}

/// What a broker registers with; one log directory each.
pub(crate) fn registration(id: i32, incarnation: u128) -> BrokerRegistrationRequest<'static> {
    let feature = |(name, range): (&'static str, klamm_metadata::features::VersionRange)| Feature {
        name: name.into(),
        min_supported_version: range.min,
        max_supported_version: range.max,
    };
    let listener =
        Listener { name: "PLAINTEXT".into(), host: "localhost".into(), port: 9092, security_protocol: 0 };
    BrokerRegistrationRequest {
        broker_id: id,
        cluster_id: CLUSTER_ID.into(),
        incarnation_id: Uuid::from_u128(incarnation),
        listeners: vec![listener],
        features: supported_features().into_iter().map(feature).collect(),
        rack: None,
        log_dirs: vec![directory(id)],
        ..Default::default()
    }
}

pub(crate) fn directory(broker_id: i32) -> Uuid {
    Uuid::from_u128(1_000 + broker_id as u128)
}
