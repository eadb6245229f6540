//! The cluster itself: its brokers, features, leaders and producers.

use std::collections::BTreeMap;

use klamm_protocol::VersionRange;
use klamm_protocol::messages::describe_producers_request::TopicRequest;
use klamm_protocol::messages::describe_producers_response;
use klamm_protocol::messages::elect_leaders_request::TopicPartitions;
use klamm_protocol::messages::update_features_request::FeatureUpdateKey;
use klamm_protocol::messages::{
    DescribeClusterRequest, DescribeProducersRequest, ElectLeadersRequest, UnregisterBrokerRequest,
    UpdateFeaturesRequest,
};

use super::{Admin, AdminError, Outcomes, Refusal, owned};
use crate::cluster::{Broker, CONTROLLER_ENDPOINTS};
use crate::topic_partition::by_topic;
use crate::{RequestError, TopicPartition};

/// What DescribeCluster calls the nodes behind the brokers' listeners.
const BROKER_ENDPOINTS: i8 = 1;

/// The cluster and its brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster_id: String,
    /// The broker to send changes to, if one is known.
    pub controller: Option<i32>,
    /// The brokers, by id.
    pub brokers: Vec<ClusterNode>,
}

/// A broker of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its id and address.
    pub broker: Broker,
    /// Whether it is fenced: registered, but not serving.
    pub is_fenced: bool,
}

/// Feature levels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// The ranges the asked broker supports.
    pub supported: BTreeMap<String, VersionRange>,
    /// The levels the cluster has settled on.
    pub finalized: BTreeMap<String, i16>,
    /// Rises with every change of the finalized levels; −1 where unknown.
    pub finalized_epoch: i64,
}

/// In which direction a feature level may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureUpgrade {
    /// Only up.
    Upgrade,
    /// Down where no metadata is lost.
    SafeDowngrade,
    /// Down, whatever is lost.
    UnsafeDowngrade,
}

/// Which leader an election looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElectionType {
    /// The first replica of the assignment, if it is in sync.
    Preferred,
    /// Any replica that is alive where none is in sync, at the price of records.
    Unclean,
}

/// A producer that has written to a partition not long ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerState {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i32,
    /// The sequence number of its last record.
    pub last_sequence: i32,
    /// The timestamp of its last batch, in milliseconds.
    pub last_timestamp_ms: i64,
    /// The epoch of its transaction coordinator; −1 without transactions.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins, if one is open.
    pub current_transaction_start_offset: Option<i64>,
}

impl Admin {
    /// The brokers of the cluster; fenced ones too if asked for and the broker knows how. The controllers, where
    /// controllers are asked.
    pub async fn describe_cluster(&self, include_fenced: bool) -> Result<ClusterDescription, AdminError> {
        let asks_controllers = self.cluster.config().asks_controllers();
        let request = |include_fenced_brokers| DescribeClusterRequest {
            endpoint_type: if asks_controllers { CONTROLLER_ENDPOINTS } else { BROKER_ENDPOINTS },
            include_fenced_brokers: include_fenced_brokers && !asks_controllers,
            ..DescribeClusterRequest::default()
        };
        let mut response = self.cluster.call_any(&request(include_fenced)).await;
        if include_fenced && matches!(response, Err(RequestError::Encode { .. })) {
            response = self.cluster.call_any(&request(false)).await;
        }
        let response = response?;
        Refusal::check(response.error_code, response.error_message)
            .map_err(|refusal| AdminError::refused("the cluster", refusal))?;
        let brokers = response.brokers.into_iter().map(|b| ClusterNode {
            broker: Broker {
                id: b.broker_id,
                host: b.host.into_owned(),
                port: u16::try_from(b.port).unwrap_or_default(),
                rack: owned(b.rack),
            },
            is_fenced: b.is_fenced,
        });
        Ok(ClusterDescription {
            cluster_id: response.cluster_id.into_owned(),
            controller: (response.controller_id >= 0).then_some(response.controller_id),
            brokers: brokers.collect(),
        })
    }

    /// The feature levels that a broker supports and that the cluster has settled on.
    pub async fn describe_features(&self) -> Result<Features, AdminError> {
        let connection = self
            .cluster
            .retrying(self.cluster.api_deadline(), RequestError::is_retriable, || async {
                Ok(self.cluster.any_broker().await?)
            })
            .await?;
        // The negotiated picture may be old on a connection that has been open for long.
        let fresh = connection.features().await.map_err(RequestError::from)?;
        Ok(Features {
            supported: fresh.supported,
            finalized: fresh.finalized,
            finalized_epoch: fresh.finalized_epoch,
        })
    }

    /// Changes feature levels; level 0 takes a feature out of use.
    pub async fn update_features(
        &self,
        levels: &BTreeMap<String, (i16, FeatureUpgrade)>,
        validate_only: bool,
    ) -> Result<Outcomes<String, ()>, AdminError> {
        let update = |(feature, (level, upgrade)): (&String, &(i16, FeatureUpgrade))| FeatureUpdateKey {
            feature: feature.clone().into(),
            max_version_level: *level,
            upgrade_type: match upgrade {
                FeatureUpgrade::Upgrade => 1,
                FeatureUpgrade::SafeDowngrade => 2,
                FeatureUpgrade::UnsafeDowngrade => 3,
            },
            ..FeatureUpdateKey::default()
        };
        let request = UpdateFeaturesRequest {
            timeout_ms: self.operation_timeout_ms(),
            feature_updates: levels.iter().map(update).collect(),
            validate_only,
        };
        let response = self.cluster.call_controller(&request, |response| response.error_code).await?;
        Refusal::check(response.error_code, response.error_message)
            .map_err(|refusal| AdminError::refused("feature levels", refusal))?;
        let results = response.results.into_iter();
        let mut outcomes: Outcomes<String, ()> = results
            .map(|r| (r.feature.into_owned(), Refusal::check(r.error_code, r.error_message)))
            .collect();
        // Since version 2 what is not refused as a whole is done.
        let silent: Vec<String> =
            levels.keys().filter(|name| outcomes.iter().all(|(known, _)| known != *name)).cloned().collect();
        outcomes.extend(silent.into_iter().map(|name| (name, Ok(()))));
        Ok(outcomes)
    }

    /// Elects leaders of these partitions, or of all that need one. Partitions that have the right leader already
    /// answer ELECTION_NOT_NEEDED.
    pub async fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Outcomes<TopicPartition, ()>, AdminError> {
        let topics = partitions.map(|partitions| {
            let topics = by_topic(partitions.iter().map(|p| (p, ()))).into_iter();
            let topic = |(topic, partitions): (std::sync::Arc<str>, Vec<(i32, ())>)| TopicPartitions {
                topic: topic.to_string().into(),
                partitions: partitions.into_iter().map(|(index, ())| index).collect(),
            };
            topics.map(topic).collect()
        });
        let request = ElectLeadersRequest {
            election_type: i8::from(election == ElectionType::Unclean),
            topic_partitions: topics,
            timeout_ms: self.operation_timeout_ms(),
        };
        let response = self.cluster.call_controller(&request, |response| response.error_code).await?;
        Refusal::check(response.error_code, None::<&str>)
            .map_err(|refusal| AdminError::refused("the election", refusal))?;
        let results = response.replica_election_results.into_iter().flat_map(|topic| {
            topic.partition_result.into_iter().map(move |p| {
                let partition = TopicPartition::new(&topic.topic, p.partition_id);
                (partition, Refusal::check(p.error_code, p.error_message))
            })
        });
        Ok(results.collect())
    }

    /// Forgets a broker that is down for good. Its replicas stay assigned to it: move them away before.
    pub async fn unregister_broker(&self, broker: i32) -> Result<(), AdminError> {
        let request = UnregisterBrokerRequest { broker_id: broker };
        let response = self.cluster.call_broker_or_controller(&request, |r| r.error_code).await?;
        Refusal::check(response.error_code, response.error_message)
            .map_err(|refusal| AdminError::refused(format!("broker {broker}"), refusal))
    }

    /// The producers that have written to these partitions not long ago.
    pub async fn describe_producers(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Outcomes<TopicPartition, Vec<ProducerState>>, AdminError> {
        self.ask_leaders(partitions.to_vec(), |cluster, leader, partitions| async move {
            let topics =
                by_topic(partitions.iter().map(|p| (p, ()))).into_iter().map(|(name, partitions)| {
                    let partition_indexes = partitions.into_iter().map(|(index, ())| index).collect();
                    TopicRequest { name: name.to_string().into(), partition_indexes }
                });
            let request = DescribeProducersRequest { topics: topics.collect() };
            let connection = cluster.broker(leader).await.map_err(RequestError::from)?;
            let response = connection.call(&request).await?;
            let results = response.topics.into_iter().flat_map(|topic| {
                topic.partitions.into_iter().map(move |p| {
                    let partition = TopicPartition::new(&topic.name, p.partition_index);
                    let producers = p.active_producers.iter().map(producer).collect();
                    (partition, Refusal::check(p.error_code, p.error_message).map(|()| producers))
                })
            });
            Ok(results.collect())
        })
        .await
    }
}

fn producer(state: &describe_producers_response::ProducerState) -> ProducerState {
    ProducerState {
        producer_id: state.producer_id,
        producer_epoch: state.producer_epoch,
        last_sequence: state.last_sequence,
        last_timestamp_ms: state.last_timestamp,
        coordinator_epoch: state.coordinator_epoch,
        current_transaction_start_offset: Some(state.current_txn_start_offset).filter(|offset| *offset >= 0),
    }
}
