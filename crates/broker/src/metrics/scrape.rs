//! One scrape: everything, read from where it lives.

use super::cluster::ClusterSample;
use super::exposition::{Kind, Page};
use super::groups::GroupSamples;
use super::partitions::ReplicaSamples;
use super::process::ProcessSample;
use super::quorum;
use super::traffic::{self, TrafficSample};
use crate::broker::Broker;
use crate::limits::METRICS_TOPICS_MAX;
use crate::partition::HostedTopics;

/// The page. Takes as long as there are partitions and committed offsets; not for a thread that serves connections.
pub(super) fn page(broker: &Broker) -> String {
    let mut page = Page::default();
    let (image, hosted) = (broker.image(), broker.hosted());
    write_process(&mut page, broker);
    write_broker(&mut page, broker);
    broker.metrics().requests.write(&mut page);
    let topics_omitted = write_traffic(&mut page, broker, &hosted);
    let replicas = ReplicaSamples::of(&image, &hosted, broker.node_id());
    replicas.write(&mut page);
    ClusterSample::of(&image).write(&mut page, broker.controller().leader_id() == broker.node_id());
    quorum::write(&mut page, &broker.controller().replica_status().borrow());
    let groups = GroupSamples::of(broker.groups(), &hosted);
    groups.write(&mut page);
    let help = "Things whose series are left out, because there are more than the page may show.";
    let mut omitted = page.family("klamm_metrics_omitted", Kind::Gauge, help);
    omitted.sample(&[("of", "topics")], topics_omitted);
    omitted.sample(&[("of", "partitions")], replicas.omitted());
    omitted.sample(&[("of", "committed_offsets")], groups.omitted());
    page.into_string()
}

fn write_process(page: &mut Page, broker: &Broker) {
    let mut info = page.family("klamm_build_info", Kind::Gauge, "The version, in a label.");
    info.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let started_seconds = broker.metrics().started_ms as f64 / 1000.0;
    page.gauge(
        "process_start_time_seconds",
        "When the broker started, in seconds since 1970.",
        started_seconds,
    );
    ProcessSample::take().write(page);
}

fn write_broker(page: &mut Page, broker: &Broker) {
    let help = "1 starting, 3 running, 7 shutting down.";
    page.gauge("kafka_server_kafkaserver_brokerstate", help, broker_state(broker));
    let connections = broker.connections();
    let help = "Connections that are open.";
    page.gauge("kafka_server_socket_server_metrics_connection_count", help, connections.open());
    let help = "Connections accepted.";
    page.counter(
        "kafka_server_socket_server_metrics_connection_creation_total",
        help,
        connections.accepted(),
    );
    let help = "Connections that have ended.";
    page.counter("kafka_server_socket_server_metrics_connection_close_total", help, connections.closed());
    let help = "Connections refused over a limit.";
    page.counter("klamm_connections_refused_total", help, connections.refused());
    let help = "Incremental fetch sessions.";
    let sessions = broker.fetch_sessions().len();
    page.gauge("kafka_server_fetchsessioncache_numincrementalfetchsessions", help, sessions);
    let directories = broker.log_dirs().directories();
    let offline = directories.iter().filter(|directory| !directory.is_online()).count();
    page.gauge(
        "kafka_log_logmanager_offlinelogdirectorycount",
        "Log directories that cannot be used.",
        offline,
    );
    let help = "1 where a log directory cannot be used.";
    let mut family = page.family("kafka_log_logmanager_logdirectoryoffline", Kind::Gauge, help);
    for directory in directories {
        let path = directory.path().display().to_string();
        family.sample(&[("logDirectory", &path)], u8::from(!directory.is_online()));
    }
}

/// Kafka's numbers for the stages of a broker's life.
fn broker_state(broker: &Broker) -> u8 {
    let image = broker.image();
    if *broker.stopping().borrow() {
        return 7;
    }
    let registration = image.cluster.broker(broker.node_id());
    let is_running =
        registration.is_some_and(|broker_here| broker_here.epoch == broker.epoch() && !broker_here.fenced);
    if is_running { 3 } else { 1 }
}

/// Writes the traffic of all topics and of each that has any. Returns how many topics are left out.
fn write_traffic(page: &mut Page, broker: &Broker, hosted: &HostedTopics) -> usize {
    let sampled = hosted.topics().map(|topic| {
        let counters = topic.partitions().map(|partition| partition.traffic());
        (&**topic.name(), TrafficSample::of(counters))
    });
    let mut topics: Vec<(&str, TrafficSample)> = sampled.collect();
    topics.retain(|(_, sample)| *sample != TrafficSample::default());
    topics.sort_by_key(|(name, _)| *name);
    let omitted = topics.len().saturating_sub(METRICS_TOPICS_MAX);
    topics.truncate(METRICS_TOPICS_MAX);
    traffic::write(page, TrafficSample::of(&broker.metrics().traffic), &topics);
    omitted
}
