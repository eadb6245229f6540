//! Brokers come, live, stop and go: registration, heartbeats, fencing, controlled shutdown, unregistration.

use klamm_metadata::cluster::BrokerRegistration;
use klamm_metadata::partition::NO_LEADER;
use klamm_metadata::{MetadataRecord, MetadataVersion, TopicIdPartition, directory_id};
use klamm_protocol::messages::broker_registration_request::{Feature, Listener};
use klamm_protocol::messages::register_broker_record::{BrokerEndpoint, BrokerFeature};
use klamm_protocol::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationChangeRecord,
    BrokerRegistrationRequest, BrokerRegistrationResponse, RegisterBrokerRecord, UnregisterBrokerRecord,
    UnregisterBrokerRequest, UnregisterBrokerResponse,
};
use klamm_protocol::{ErrorCode, Uuid};

use crate::partition_change::{Election, PartitionChange};
use crate::refusal::Refusal;
use crate::state::{Controller, Decision, Step};

const FENCE: i8 = 1;
const UNFENCE: i8 = -1;
const ENTER_CONTROLLED_SHUTDOWN: i8 = 1;

type Records = Vec<MetadataRecord<'static>>;

/// Why partitions have to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokerEvent {
    /// The broker leaves ISRs and leads nothing.
    Leaves(i32),
    /// The same, and its log may have lost its end.
    CrashedUnclean(i32),
    /// The broker may lead again.
    Returns(i32),
}

/// A broker's state as heartbeats move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BrokerState {
    Fenced,
    Unfenced,
    ControlledShutdown,
    ShutdownNow,
}

impl Controller {
    /// Registers a broker, or amends the registration of the incarnation that is already registered.
    pub fn register_broker(
        &self,
        step: &mut Step<'_>,
        request: &BrokerRegistrationRequest<'_>,
    ) -> Decision<BrokerRegistrationResponse> {
        match self.try_register_broker(step, request) {
            Ok((records, broker_epoch)) => {
                Decision::new(records, BrokerRegistrationResponse { broker_epoch, ..Default::default() })
            }
            Err(Refusal { code, .. }) => {
                Decision::nothing(BrokerRegistrationResponse { error_code: code, ..Default::default() })
            }
        }
    }

    fn try_register_broker(
        &self,
        step: &Step<'_>,
        request: &BrokerRegistrationRequest<'_>,
    ) -> Result<(Records, i64), Refusal> {
        let existing = self.image.cluster.broker(request.broker_id);
        self.check_registration(step.now_ms, request, existing.map(AsRef::as_ref))?;
        let same = existing.filter(|broker| broker.incarnation_id == request.incarnation_id);
        let mut records = Vec::new();
        if same.is_none() {
            let is_clean = existing.is_some_and(|broker| broker.epoch == request.previous_broker_epoch);
            self.forget_incarnation(request.broker_id, is_clean, &mut records);
        }
        let broker_epoch = same.map_or(step.next_offset, |broker| broker.epoch);
        let version = self.image.metadata_version();
        records.push(MetadataRecord::RegisterBroker(RegisterBrokerRecord {
            broker_id: request.broker_id,
            is_migrating_zk_broker: false,
            incarnation_id: request.incarnation_id,
            broker_epoch,
            end_points: request.listeners.iter().map(endpoint).collect(),
            features: request.features.iter().map(feature).collect(),
            rack: request.rack.as_deref().map(|rack| rack.to_owned().into()),
            fenced: same.is_none_or(|broker| broker.fenced),
            in_controlled_shutdown: same.is_some_and(|broker| broker.in_controlled_shutdown),
            log_dirs: if version.supports_directory_assignment() {
                request.log_dirs.clone()
            } else {
                Vec::new()
            },
            cordoned_log_dirs: None,
        }));
        Ok((records, broker_epoch))
    }

    fn check_registration(
        &self,
        now_ms: i64,
        request: &BrokerRegistrationRequest<'_>,
        existing: Option<&BrokerRegistration>,
    ) -> Result<(), Refusal> {
        if request.cluster_id != self.config.cluster_id.as_str() {
            let message = format!("this is cluster {}, not {}", self.config.cluster_id, request.cluster_id);
            return Err(Refusal::new(ErrorCode::INCONSISTENT_CLUSTER_ID, message));
        }
        let lives_elsewhere = existing.is_some_and(|broker| {
            let is_alive = self.heartbeats.get(broker.id).is_some_and(|session| session.is_alive);
            let is_another = broker.incarnation_id != request.incarnation_id;
            is_another && is_alive && self.has_valid_session(broker.id, now_ms)
        });
        if lives_elsewhere {
            let message = format!("another broker with id {} is alive", request.broker_id);
            return Err(Refusal::new(ErrorCode::DUPLICATE_BROKER_REGISTRATION, message));
        }
        if request.is_migrating_zk_broker {
            let message = "brokers of a ZooKeeper cluster cannot register";
            return Err(Refusal::new(ErrorCode::BROKER_ID_NOT_REGISTERED, message));
        }
        if self.image.metadata_version().supports_directory_assignment() {
            self.check_directories(request.broker_id, &request.log_dirs)?;
        }
        self.check_features(&request.features)
    }

    fn check_directories(&self, broker_id: i32, directories: &[Uuid]) -> Result<(), Refusal> {
        let invalid = |message| Err(Refusal::new(ErrorCode::INVALID_REGISTRATION, message));
        if directories.is_empty() {
            return invalid("the broker names no log directory".to_owned());
        }
        for (index, &directory) in directories.iter().enumerate() {
            if directory_id::is_reserved(directory) {
                return invalid(format!("directory id {directory} is reserved"));
            }
            if directories[..index].contains(&directory) {
                return invalid(format!("directory id {directory} is there twice"));
            }
            let owns = |broker: &&std::sync::Arc<BrokerRegistration>| {
                broker.id != broker_id && broker.directories.contains(&directory)
            };
            if let Some(owner) = self.image.cluster.brokers().find(owns) {
                return invalid(format!("directory {directory} belongs to broker {}", owner.id));
            }
        }
        Ok(())
    }

    /// Every finalized feature must be within what the broker supports; features it does not name it supports at level 0 only.
    fn check_features(&self, features: &[Feature<'_>]) -> Result<(), Refusal> {
        if !features.iter().any(|feature| feature.name == MetadataVersion::FEATURE_NAME) {
            let message = "the broker does not say which levels of metadata.version it supports";
            return Err(Refusal::new(ErrorCode::INVALID_REGISTRATION, message));
        }
        let unsupported = |name: &str, level, min, max| {
            let message =
                format!("{name} is finalized at level {level}, the broker supports levels {min} to {max}");
            Err(Refusal::new(ErrorCode::UNSUPPORTED_VERSION, message))
        };
        for feature in features {
            let level = self.image.features.level(&feature.name);
            let (min, max) = (feature.min_supported_version, feature.max_supported_version);
            if !(min..=max).contains(&level) {
                return unsupported(&feature.name, level, min, max);
            }
        }
        let is_named = |name: &str| features.iter().any(|feature| feature.name == name);
        match self.image.features.iter().find(|(name, _)| !is_named(name)) {
            Some((name, level)) => unsupported(name, level, 0, 0),
            None => Ok(()),
        }
    }

    /// What the broker's previous incarnation left in ISRs is not to be relied on, and if it may have crashed, nor is its log.
    fn forget_incarnation(&self, broker_id: i32, is_clean: bool, records: &mut Records) {
        if self.image.features.eligible_leader_replicas_enabled() && !is_clean {
            let event = BrokerEvent::CrashedUnclean(broker_id);
            self.change_partitions(event, self.index.in_sync(broker_id), records);
            self.change_partitions(event, self.index.eligible(broker_id), records);
        } else {
            self.change_partitions(BrokerEvent::Leaves(broker_id), self.index.in_sync(broker_id), records);
        }
    }

    /// Notes a broker's sign of life. The driver calls it with each heartbeat, before [`Self::heartbeat`]; it is no record because it only
    /// matters to this controller.
    pub fn touch(&mut self, now_ms: i64, request: &BrokerHeartbeatRequest) {
        let last_offset = self.image.provenance.last_offset;
        let leaving = self
            .image
            .cluster
            .broker(request.broker_id)
            .is_some_and(|b| b.in_controlled_shutdown && !b.fenced);
        let session = self.heartbeats.get_mut(request.broker_id);
        let Some(session) = session.filter(|session| session.epoch == request.broker_epoch) else { return };
        session.contact_ms = now_ms;
        session.is_alive = true;
        session.metadata_offset = request.current_metadata_offset;
        if leaving {
            session.shutdown_offset.get_or_insert(last_offset);
        }
    }

    /// Answers a heartbeat: fences and unfences the broker, moves leaders away from one that wants to stop, and takes note of directories
    /// that failed or were cordoned.
    pub fn heartbeat(&self, request: &BrokerHeartbeatRequest) -> Decision<BrokerHeartbeatResponse> {
        match self.try_heartbeat(request) {
            Ok(decision) => decision,
            Err(Refusal { code, .. }) => {
                Decision::nothing(BrokerHeartbeatResponse { error_code: code, ..Default::default() })
            }
        }
    }

    fn try_heartbeat(
        &self,
        request: &BrokerHeartbeatRequest,
    ) -> Result<Decision<BrokerHeartbeatResponse>, Refusal> {
        let broker = self.broker_of_epoch(request.broker_id, request.broker_epoch)?;
        let is_caught_up = request.current_metadata_offset >= self.registration_offset(broker);
        let current = state_of(broker);
        let next = self.next_state(broker, current, request, is_caught_up);
        let mut records = Vec::new();
        if current != next {
            match next {
                BrokerState::Fenced | BrokerState::ShutdownNow => self.fence(broker, &mut records),
                BrokerState::Unfenced => self.unfence(broker, &mut records),
                BrokerState::ControlledShutdown => self.enter_controlled_shutdown(broker, &mut records),
            }
        }
        self.directories_reported(broker, request, &mut records);
        let response = BrokerHeartbeatResponse {
            is_caught_up,
            is_fenced: matches!(next, BrokerState::Fenced | BrokerState::ShutdownNow),
            should_shut_down: next == BrokerState::ShutdownNow,
            ..Default::default()
        };
        Ok(Decision::new(records, response))
    }

    fn next_state(
        &self,
        broker: &BrokerRegistration,
        current: BrokerState,
        request: &BrokerHeartbeatRequest,
        is_caught_up: bool,
    ) -> BrokerState {
        let leads = self.index.has_leaderships(broker.id);
        match current {
            BrokerState::Fenced if request.want_shut_down => BrokerState::ShutdownNow,
            // An incarnation that began to shut down does not come back.
            BrokerState::Fenced if broker.in_controlled_shutdown => BrokerState::Fenced,
            // What is lost with a directory must not be led: first that is noted.
            BrokerState::Fenced if loses_directories(broker, request) => BrokerState::Fenced,
            BrokerState::Fenced if !request.want_fence && is_caught_up => BrokerState::Unfenced,
            BrokerState::Unfenced if request.want_fence && request.want_shut_down => BrokerState::ShutdownNow,
            BrokerState::Unfenced if request.want_fence => BrokerState::Fenced,
            BrokerState::Unfenced if request.want_shut_down && leads => BrokerState::ControlledShutdown,
            BrokerState::Unfenced if request.want_shut_down => BrokerState::ShutdownNow,
            BrokerState::ControlledShutdown if !leads && self.others_saw_shutdown(broker.id) => {
                BrokerState::ShutdownNow
            }
            unchanged => unchanged,
        }
    }

    /// Whether every active broker has replayed the moving of this broker's leaders.
    fn others_saw_shutdown(&self, broker_id: i32) -> bool {
        let Some(offset) = self.heartbeats.get(broker_id).and_then(|session| session.shutdown_offset) else {
            return false;
        };
        let mut active = self.heartbeats.iter().filter(|&(id, _)| self.is_active(id));
        active.all(|(_, session)| session.metadata_offset >= offset)
    }

    fn registration_offset(&self, broker: &BrokerRegistration) -> i64 {
        self.registration_offsets.get(&broker.id).copied().unwrap_or(broker.epoch)
    }

    /// Takes the broker out of every ISR, then fences it.
    fn fence(&self, broker: &BrokerRegistration, records: &mut Records) {
        self.change_partitions(BrokerEvent::Leaves(broker.id), self.index.in_sync(broker.id), records);
        records.push(registration_change(broker, |change| change.fenced = FENCE));
    }

    /// Unfences the broker, then gives it the partitions without leader that it can lead.
    fn unfence(&self, broker: &BrokerRegistration, records: &mut Records) {
        records.push(registration_change(broker, |change| change.fenced = UNFENCE));
        let leaderless = self.index.leaderless().clone();
        self.change_partitions(BrokerEvent::Returns(broker.id), leaderless, records);
    }

    fn enter_controlled_shutdown(&self, broker: &BrokerRegistration, records: &mut Records) {
        records.push(registration_change(broker, |change| {
            change.in_controlled_shutdown = ENTER_CONTROLLED_SHUTDOWN;
        }));
        self.change_partitions(BrokerEvent::Leaves(broker.id), self.index.in_sync(broker.id), records);
    }

    fn directories_reported(
        &self,
        broker: &BrokerRegistration,
        request: &BrokerHeartbeatRequest,
        records: &mut Records,
    ) {
        let version = self.image.metadata_version();
        if version.supports_directory_assignment() {
            self.directories_failed(broker, &request.offline_log_dirs, records);
        }
        let Some(cordoned) = &request.cordoned_log_dirs else { return };
        if version.supports_cordoned_log_dirs() && cordoning_differs(broker, cordoned) {
            records.push(registration_change(broker, |change| {
                change.cordoned_log_dirs = Some(cordoned.clone())
            }));
        }
    }

    fn directories_failed(&self, broker: &BrokerRegistration, failed: &[Uuid], records: &mut Records) {
        let (lost, online): (Vec<Uuid>, Vec<Uuid>) =
            broker.directories.iter().partition(|&directory| failed.contains(directory));
        if lost.is_empty() {
            return;
        }
        for directory in lost {
            let partitions = self.index.in_directory(directory);
            self.change_partitions(BrokerEvent::Leaves(broker.id), partitions, records);
        }
        records.push(registration_change(broker, |change| change.log_dirs = online));
    }

    /// A broker whose session is over and that is not fenced yet. The driver fences it with [`Self::fence_overdue`].
    pub fn overdue_broker(&self, now_ms: i64) -> Option<i32> {
        let overdue = |id: i32| !self.has_valid_session(id, now_ms);
        let mut unfenced = self.image.cluster.brokers().filter(|broker| !broker.fenced);
        unfenced.find(|broker| overdue(broker.id)).map(|broker| broker.id)
    }

    /// The first millisecond at which a broker is overdue, if none is heard of before; none where no unfenced broker is registered.
    pub fn next_session_end_ms(&self) -> Option<i64> {
        let is_unfenced = |id: i32| self.image.cluster.broker(id).is_some_and(|broker| !broker.fenced);
        let unfenced = self.heartbeats.iter().filter(|&(id, _)| is_unfenced(id));
        unfenced.map(|(_, session)| session.contact_ms + self.config.session_timeout_ms + 1).min()
    }

    /// Fences a broker that has not been heard of. One broker at a time: the next sees what became of the first.
    pub fn fence_overdue(&self, broker_id: i32) -> Decision<()> {
        let mut records = Vec::new();
        if let Some(broker) = self.image.cluster.broker(broker_id).filter(|broker| !broker.fenced) {
            self.fence(broker, &mut records);
        }
        Decision::new(records, ())
    }

    fn has_valid_session(&self, broker_id: i32, now_ms: i64) -> bool {
        let session = self.heartbeats.get(broker_id);
        session.is_some_and(|session| now_ms <= session.contact_ms + self.config.session_timeout_ms)
    }

    /// Notes that the connection of a broker's heartbeats has ended. Until it speaks again, a new incarnation may take its place at once.
    pub fn lose_contact(&mut self, broker_id: i32, broker_epoch: i64) {
        let session = self.heartbeats.get_mut(broker_id);
        if let Some(session) = session.filter(|session| session.epoch == broker_epoch) {
            session.is_alive = false;
        }
    }

    /// Fences a broker whose process is known to be gone, whatever is left of its session. A later incarnation is not concerned.
    pub fn fence_gone(&self, broker_id: i32, broker_epoch: i64) -> Decision<()> {
        let registered = self.image.cluster.broker(broker_id);
        match registered.filter(|broker| broker.epoch == broker_epoch) {
            Some(_) => self.fence_overdue(broker_id),
            None => Decision::nothing(()),
        }
    }

    /// Removes a broker's registration.
    pub fn unregister_broker(
        &self,
        request: &UnregisterBrokerRequest,
    ) -> Decision<UnregisterBrokerResponse<'static>> {
        let id = request.broker_id;
        let Some(broker) = self.image.cluster.broker(id) else {
            return Decision::nothing(UnregisterBrokerResponse {
                error_code: ErrorCode::BROKER_ID_NOT_REGISTERED,
                error_message: Some(format!("broker {id} is not registered").into()),
                ..Default::default()
            });
        };
        let mut records = Vec::new();
        let event = BrokerEvent::Leaves(id);
        self.change_partitions(event, self.index.in_sync(id), &mut records);
        self.change_partitions(event, self.index.eligible(id), &mut records);
        let record = UnregisterBrokerRecord { broker_id: id, broker_epoch: broker.epoch };
        records.push(MetadataRecord::UnregisterBroker(record));
        Decision::new(records, UnregisterBrokerResponse::default())
    }

    /// ISR changes and elections that an event asks for in these partitions.
    pub(crate) fn change_partitions(
        &self,
        event: BrokerEvent,
        partitions: impl IntoIterator<Item = TopicIdPartition>,
        records: &mut Records,
    ) {
        for id in partitions {
            let Some(topic) = self.image.topics.by_id(id.topic_id) else { continue };
            let Some(partition) = topic.partition(id.partition) else { continue };
            let is_active = |broker| match event {
                BrokerEvent::Leaves(gone) | BrokerEvent::CrashedUnclean(gone) if broker == gone => false,
                BrokerEvent::Returns(back) if broker == back => true,
                _ => self.is_active(broker),
            };
            let is_acceptable = |broker| self.may_lead(partition, broker, is_active(broker));
            let record = self.with_rules(topic, &is_acceptable, |rules| {
                let mut change = PartitionChange::of(partition, rules);
                if self.unclean_election_enabled(topic) {
                    change.election = Election::Unclean;
                }
                match event {
                    BrokerEvent::Leaves(gone) => change.isr.retain(|&broker| broker != gone),
                    BrokerEvent::CrashedUnclean(gone) => {
                        change.isr.retain(|&broker| broker != gone);
                        change.unclean_shutdown = Some(gone);
                    }
                    BrokerEvent::Returns(_) => {}
                }
                change.record(id)
            });
            records.extend(record.map(MetadataRecord::PartitionChange));
        }
        debug_assert!(records.iter().all(|record| !names_no_leader_twice(record)));
    }
}

/// A record that takes the lead from nobody would raise the leader epoch for nothing.
fn names_no_leader_twice(record: &MetadataRecord<'_>) -> bool {
    matches!(record, MetadataRecord::PartitionChange(change)
        if change.leader == NO_LEADER && change.last_known_elr.as_deref() == Some(&[NO_LEADER]))
}

/// Whether the broker tells of failed directories that count as online so far.
fn loses_directories(broker: &BrokerRegistration, request: &BrokerHeartbeatRequest) -> bool {
    broker.directories.iter().any(|directory| request.offline_log_dirs.contains(directory))
}

fn state_of(broker: &BrokerRegistration) -> BrokerState {
    match (broker.fenced, broker.in_controlled_shutdown) {
        (true, _) => BrokerState::Fenced,
        (false, true) => BrokerState::ControlledShutdown,
        (false, false) => BrokerState::Unfenced,
    }
}

fn cordoning_differs(broker: &BrokerRegistration, cordoned: &[Uuid]) -> bool {
    let Some(current) = &broker.cordoned_directories else { return true };
    let has_all = |of: &[Uuid], all: &[Uuid]| all.iter().all(|id| of.contains(id));
    !has_all(current, cordoned) || !has_all(cordoned, current)
}

fn registration_change(
    broker: &BrokerRegistration,
    edit: impl FnOnce(&mut BrokerRegistrationChangeRecord),
) -> MetadataRecord<'static> {
    let mut record = BrokerRegistrationChangeRecord {
        broker_id: broker.id,
        broker_epoch: broker.epoch,
        ..BrokerRegistrationChangeRecord::default()
    };
    edit(&mut record);
    MetadataRecord::BrokerRegistrationChange(record)
}

fn endpoint(listener: &Listener<'_>) -> BrokerEndpoint<'static> {
    BrokerEndpoint {
        name: listener.name.to_string().into(),
        host: listener.host.to_string().into(),
        port: listener.port,
        security_protocol: listener.security_protocol,
    }
}

fn feature(feature: &Feature<'_>) -> BrokerFeature<'static> {
    BrokerFeature {
        name: feature.name.to_string().into(),
        min_supported_version: feature.min_supported_version,
        max_supported_version: feature.max_supported_version,
    }
}
