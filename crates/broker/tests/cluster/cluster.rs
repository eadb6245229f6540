//! Nodes on simulated disks, each with threads of its own, that know each other by name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use klamm_broker::environment::{Environment, Place, SystemClock, SystemRandom};
use klamm_broker::{FormatOptions, InitialControllers, WorkerThreads};
use klamm_config::load::{Loaded, Options, load};
use klamm_log::disk::Disk;
use klamm_log::disk::simulated::{Crash, SimulatedDisk};
use klamm_protocol::messages::create_topics_request::CreatableTopic;
use klamm_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use klamm_protocol::messages::{
    CreateTopicsRequest, DescribeClusterRequest, DescribeClusterResponse, IncrementalAlterConfigsRequest,
    MetadataRequest, MetadataResponse,
};
use klamm_protocol::{Decode, ErrorCode, IntoStatic, Reader, Request, Writer, frame, header};
use tokio::sync::oneshot;

use crate::network::Names;

/// How long a test waits for what takes milliseconds, or a few elections.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Broker,
    Controller,
    Both,
}

/// Whose settings.
#[derive(Clone, Copy)]
pub(crate) enum Resource {
    Topic(&'static str),
    Broker(i32),
    AllBrokers,
}

/// A cluster whose nodes can be started, stopped and killed.
pub(crate) struct Cluster {
    names: Names,
    roles: BTreeMap<i32, Role>,
    /// Settings beside those that make it a cluster; they win.
    set: Vec<String>,
    disks: BTreeMap<i32, SimulatedDisk>,
    nodes: BTreeMap<i32, Node>,
}

/// A node that runs.
struct Node {
    threads: Arc<WorkerThreads>,
    started: Receiver<Result<(), String>>,
    stop: Option<oneshot::Sender<()>>,
    ended: Receiver<Result<(), String>>,
}

impl Cluster {
    /// Formats a node for each role, counted from 1, and starts none.
    pub(crate) fn new(roles: &[Role], set: &[&str]) -> Self {
        Self::formatted(roles, set, None)
    }

    /// The same at the metadata.version of a release.
    pub(crate) fn formatted(roles: &[Role], set: &[&str], release: Option<&str>) -> Self {
        let mut cluster = Self {
            names: Names::default(),
            roles: (1..).zip(roles.iter().copied()).collect(),
            set: set.iter().map(|setting| setting.to_string()).collect(),
            disks: BTreeMap::new(),
            nodes: BTreeMap::new(),
        };
        for &id in cluster.roles.keys().collect::<Vec<_>>() {
            let disk = SimulatedDisk::seeded(id as u64);
            let threads = Arc::new(WorkerThreads::start(1).unwrap());
            let environment = environment(&cluster.names, &disk, &threads);
            let options = FormatOptions {
                cluster_id: "together".to_owned(),
                controllers: InitialControllers::Configured,
                release_version: release.map(str::to_owned),
                features: BTreeMap::new(),
                ignore_formatted: false,
            };
            klamm_broker::format(&environment, &cluster.settings(id).node, &options).unwrap();
            threads.stop();
            cluster.disks.insert(id, disk);
        }
        cluster
    }

    /// A cluster all of whose nodes are up.
    pub(crate) fn started(roles: &[Role]) -> Self {
        Self::started_with(roles, &[])
    }

    /// The same with settings beside those that make it a cluster.
    pub(crate) fn started_with(roles: &[Role], set: &[&str]) -> Self {
        let mut cluster = Self::new(roles, set);
        let ids: Vec<_> = cluster.roles.keys().copied().collect();
        cluster.start_all(&ids);
        cluster
    }

    /// Starts nodes together and waits until they are ready.
    pub(crate) fn start_all(&mut self, ids: &[i32]) {
        ids.iter().for_each(|&id| self.begin(id));
        ids.iter().for_each(|&id| self.ready(id));
    }

    /// Starts a node without waiting for it.
    pub(crate) fn begin(&mut self, id: i32) {
        let disk = &self.disks[&id];
        disk.restart(Crash::Process);
        let threads = Arc::new(WorkerThreads::start(1).unwrap());
        let environment = environment(&self.names, disk, &threads);
        let loaded = self.settings(id);
        let ((report, started), (end, ended)) = (channel(), channel());
        let (stop, stopped) = oneshot::channel();
        let starting = environment.clone();
        environment.spawn(Place::Control, move || async move {
            let mut server = match klamm_broker::start(loaded, starting).await {
                Ok(server) => server,
                Err(error) => return drop(report.send(Err(error.to_string()))),
            };
            let _ = report.send(Ok(()));
            let result = tokio::select! {
                reason = server.failed() => Err(reason),
                _ = stopped => server.stop().await.map_err(|error| error.to_string()),
            };
            let _ = end.send(result);
        });
        self.nodes.insert(id, Node { threads, started, stop: Some(stop), ended });
    }

    /// Why a node does not start.
    pub(crate) fn refusal(&self, id: i32) -> String {
        self.nodes[&id].started.recv_timeout(PATIENCE).expect("a start ends").unwrap_err()
    }

    /// Waits until a node is ready.
    pub(crate) fn ready(&self, id: i32) {
        self.nodes[&id].started.recv_timeout(PATIENCE).expect("a start ends").unwrap();
    }

    /// Whether a node that began to start has become ready; tells it once.
    pub(crate) fn has_become_ready(&self, id: i32) -> bool {
        match self.nodes[&id].started.try_recv() {
            Ok(started) => started.map(|()| true).unwrap(),
            Err(_) => false,
        }
    }

    /// Stops a node in order; how long that took.
    pub(crate) fn stop(&mut self, id: i32) -> Duration {
        let mut node = self.nodes.remove(&id).expect("it runs");
        let began = Instant::now();
        drop(node.stop.take());
        node.ended.recv_timeout(PATIENCE).expect("a stop ends").unwrap();
        began.elapsed()
    }

    /// Ends a node in the middle of whatever it does.
    pub(crate) fn kill(&mut self, id: i32) {
        drop(self.nodes.remove(&id).expect("it runs"));
    }

    /// Waits until a node that stops by itself has ended; why it did.
    pub(crate) fn end(&mut self, id: i32) -> String {
        let node = self.nodes.remove(&id).expect("it runs");
        node.ended.recv_timeout(PATIENCE).expect("it ends").unwrap_err()
    }

    /// A node's disk.
    pub(crate) fn disk(&self, id: i32) -> &SimulatedDisk {
        &self.disks[&id]
    }

    /// Whether a node runs.
    pub(crate) fn is_up(&self, id: i32) -> bool {
        self.nodes.contains_key(&id)
    }

    /// The names of what is in a node's log directory.
    pub(crate) fn folders(&self, id: i32) -> Vec<String> {
        let entries = self.disks[&id].list(Path::new("/data")).unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }

    fn settings(&self, id: i32) -> Loaded {
        let role = self.roles[&id];
        let (roles, listeners) = match role {
            Role::Broker => ("broker", format!("PLAINTEXT://node{id}:9092")),
            Role::Controller => ("controller", format!("CONTROLLER://node{id}:9093")),
            Role::Both => {
                ("broker,controller", format!("PLAINTEXT://node{id}:9092,CONTROLLER://node{id}:9093"))
            }
        };
        let voters = self.roles.iter().filter(|(_, role)| **role != Role::Broker);
        let voters: Vec<_> = voters.map(|(id, _)| format!("{id}@node{id}:9093")).collect();
        let set = [
            format!("node.id={id}"),
            format!("process.roles={roles}"),
            format!("listeners={listeners}"),
            "controller.listener.names=CONTROLLER".to_owned(),
            format!("controller.quorum.voters={}", voters.join(",")),
            "log.dirs=/data".to_owned(),
            "offsets.topic.num.partitions=3".to_owned(),
            format!("broker.rack=rack{id}"),
            "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector".to_owned(),
        ];
        let set = set.into_iter().chain(self.set.iter().cloned());
        load(&Options { set: set.collect(), ..Options::default() }).unwrap()
    }

    fn address(&self, id: i32, port: u16) -> SocketAddr {
        self.names.real(&format!("node{id}"), port).expect("it has listened")
    }

    /// Asks a broker as a client does.
    pub(crate) fn ask<R: Request>(&self, id: i32, request: &R, version: i16) -> R::Response<'static> {
        ask(self.address(id, 9092), request, version)
    }

    /// Asks a controller on its own listener.
    pub(crate) fn ask_controller<R: Request>(
        &self,
        id: i32,
        request: &R,
        version: i16,
    ) -> R::Response<'static> {
        ask(self.address(id, 9093), request, version)
    }

    /// Makes a topic by way of a broker.
    pub(crate) fn create_topic(
        &self,
        by: i32,
        name: impl Into<Cow<'static, str>>,
        replicas: i16,
    ) -> ErrorCode {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor: replicas,
            ..CreatableTopic::default()
        };
        let request =
            CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..CreateTopicsRequest::default() };
        self.ask(by, &request, 7).topics[0].error_code
    }

    /// Has a broker set, or delete, a setting of a resource.
    pub(crate) fn set(
        &self,
        by: i32,
        resource: Resource,
        name: &'static str,
        value: Option<&'static str>,
    ) -> ErrorCode {
        let (resource_type, resource_name) = match resource {
            Resource::Topic(name) => (2, name.to_owned()),
            Resource::Broker(id) => (4, id.to_string()),
            Resource::AllBrokers => (4, String::new()),
        };
        let config_operation = if value.is_some() { 0 } else { 1 };
        let config = AlterableConfig { name: name.into(), config_operation, value: value.map(Into::into) };
        let resource = AlterConfigsResource {
            resource_type,
            resource_name: resource_name.into(),
            configs: vec![config],
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        self.ask(by, &request, 1).responses[0].error_code
    }

    pub(crate) fn metadata(&self, id: i32) -> MetadataResponse<'static> {
        self.ask(id, &MetadataRequest { topics: None, ..MetadataRequest::default() }, 12)
    }

    pub(crate) fn describe(&self, id: i32) -> DescribeClusterResponse<'static> {
        let request = DescribeClusterRequest { include_fenced_brokers: true, ..Default::default() };
        self.ask(id, &request, 2)
    }

    /// The ids of the brokers that a broker calls alive.
    pub(crate) fn alive(&self, id: i32) -> Vec<i32> {
        let mut ids: Vec<_> = self.metadata(id).brokers.iter().map(|broker| broker.node_id).collect();
        ids.sort_unstable();
        ids
    }

    /// The active controller, as a controller knows it; −1 if it knows none.
    pub(crate) fn active_controller(&self, asked: i32) -> i32 {
        let request = DescribeClusterRequest { endpoint_type: 2, ..Default::default() };
        self.ask_controller(asked, &request, 2).controller_id
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.threads.stop();
    }
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::yield_now();
    }
    began.elapsed()
}

fn environment(names: &Names, disk: &SimulatedDisk, threads: &Arc<WorkerThreads>) -> Environment {
    Environment {
        network: Arc::new(names.clone()),
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        executors: threads.clone(),
    }
}

fn ask<R: Request>(address: SocketAddr, request: &R, version: i16) -> R::Response<'static> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut writer = Writer::new();
    frame::encode_request(&mut writer, request, version, 1, None).unwrap();
    stream.write_all(writer.as_bytes()).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut response = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut response).unwrap();
    let mut reader = Reader::new(&response);
    assert_eq!(header::decode_response(&mut reader, R::KEY, version).unwrap(), 1);
    R::Response::decode(&mut reader, version).unwrap().into_static()
}
