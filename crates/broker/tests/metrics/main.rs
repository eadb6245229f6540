//! What a whole broker shows of itself, on a network and a disk in memory.

mod network;

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use klamm_broker::environment::{Environment, SystemClock, SystemRandom};
use klamm_broker::{Server, WorkerThreads};
use klamm_config::load::{Options, load};
use klamm_log::disk::simulated::{Fault, Operation, SimulatedDisk};
use klamm_net::{Network, Outbound, Stream};
use klamm_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use klamm_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use klamm_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use klamm_protocol::{Records, Request, Writer, frame};
use klamm_records::{BatchBuilder, NewRecord};

use network::MemoryNetwork;

const KAFKA_PORT: u16 = 9092;
const HTTP_PORT: u16 = 9404;

struct Node {
    network: Arc<MemoryNetwork>,
    disk: SimulatedDisk,
    threads: Arc<WorkerThreads>,
    server: Server,
}

impl Node {
    async fn start() -> Self {
        let (network, disk) = (Arc::<MemoryNetwork>::default(), SimulatedDisk::seeded(1));
        let threads = Arc::new(WorkerThreads::start(1).unwrap());
        let environment = Environment {
            network: network.clone(),
            disk: Arc::new(disk.clone()),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            executors: threads.clone(),
        };
        let options = Options {
            file: None,
            set: vec![format!("klamm.metrics.listener=127.0.0.1:{HTTP_PORT}")],
            data: Some(PathBuf::from("/data")),
            listen: Some(format!("127.0.0.1:{KAFKA_PORT}")),
        };
        let server = klamm_broker::start(load(&options).unwrap(), environment).await.unwrap();
        Self { network, disk, threads, server }
    }

    async fn get(&self, path: &str) -> Answer {
        let mut stream = self.network.dial("localhost", HTTP_PORT).await.unwrap();
        write(&mut stream, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
        let text = String::from_utf8(read(&mut stream, usize::MAX).await).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.lines().next().unwrap().to_owned();
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        Answer { status, body: body.to_owned() }
    }

    async fn stop(self) {
        self.server.stop().await.unwrap();
        // Waiting for threads must not hold up the test's own.
        tokio::task::spawn_blocking(move || self.threads.stop()).await.unwrap();
    }
}

struct Answer {
    status: String,
    body: String,
}

async fn write(stream: &mut Stream, bytes: &[u8]) {
    let mut outbound = Outbound::default();
    outbound.push_bytes(bytes);
    poll_fn(|cx| outbound.poll_send(stream, cx)).await.unwrap();
}

/// Reads so many bytes, or up to the end.
async fn read(stream: &mut Stream, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while bytes.len() < count {
        let room = chunk.len().min(count - bytes.len());
        let read: io::Result<usize> = poll_fn(|cx| stream.poll_read(cx, &mut chunk[..room])).await;
        match read.unwrap() {
            0 => break,
            read => bytes.extend_from_slice(&chunk[..read]),
        }
    }
    bytes
}

/// Sends a request and waits for its answer, which is not looked at.
async fn call<R: Request>(stream: &mut Stream, request: &R, version: i16) {
    let mut writer = Writer::new();
    frame::encode_request(&mut writer, request, version, 7, Some("test")).unwrap();
    write(stream, writer.as_bytes()).await;
    let prefix = read(stream, frame::PREFIX_LEN).await;
    let size = frame::size(&prefix, usize::MAX).unwrap().unwrap();
    assert_eq!(read(stream, size).await.len(), size);
}

/// A batch of three records.
fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(0);
    for value in [b"one", b"two", b"six"] {
        let timestamp = 1_700_000_000_000;
        builder.append(&NewRecord { timestamp, key: None, value: Some(value), headers: &[] });
    }
    builder.finish().into_bytes()
}

fn produce(topic: &'static str, records: &[u8]) -> ProduceRequest<'static> {
    let data = PartitionProduceData { index: 0, records: Some(Records::Bytes(records.to_vec().into())) };
    let topic = TopicProduceData { name: topic.into(), partition_data: vec![data], ..Default::default() };
    ProduceRequest { acks: -1, timeout_ms: 5000, topic_data: vec![topic], ..ProduceRequest::default() }
}

fn fetch(topic: &'static str) -> FetchRequest<'static> {
    let partition =
        FetchPartition { partition: 0, fetch_offset: 0, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic: topic.into(), partitions: vec![partition], ..FetchTopic::default() };
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 0,
        max_bytes: 1 << 20,
        topics: vec![topic],
        ..Default::default()
    }
}

async fn make_topic(stream: &mut Stream, name: &'static str) {
    let topic = MetadataRequestTopic { name: Some(name.into()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    };
    call(stream, &request, 8).await;
}

#[tokio::test]
async fn what_clients_do_is_counted() {
    let node = Node::start().await;
    let batch = batch();
    let mut stream = node.network.dial("localhost", KAFKA_PORT).await.unwrap();
    make_topic(&mut stream, "words").await;
    call(&mut stream, &produce("words", &batch), 9).await;
    call(&mut stream, &produce("missing", &batch), 9).await;
    call(&mut stream, &fetch("words"), 11).await;

    let page = node.get("/metrics").await;
    assert_eq!(page.status, "HTTP/1.1 200 OK");
    let bytes = batch.len();
    for line in [
        "kafka_network_requestmetrics_requests_total{request=\"Produce\",version=\"9\"} 2",
        "kafka_network_requestmetrics_requests_total{request=\"Fetch\",version=\"11\"} 1",
        "kafka_network_requestmetrics_requests_total{request=\"Metadata\",version=\"8\"} 1",
        "kafka_network_requestmetrics_totaltimems_count{request=\"Produce\"} 2",
        "kafka_network_requestmetrics_errors_total{request=\"Produce\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"} 1",
        "kafka_server_brokertopicmetrics_messagesin_total 3",
        "kafka_server_brokertopicmetrics_messagesin_total{topic=\"words\"} 3",
        &format!("kafka_server_brokertopicmetrics_bytesin_total{{topic=\"words\"}} {bytes}"),
        &format!("kafka_server_brokertopicmetrics_bytesout_total{{topic=\"words\"}} {bytes}"),
        &format!("kafka_log_log_size{{topic=\"words\",partition=\"0\"}} {bytes}"),
        "kafka_log_log_logendoffset{topic=\"words\",partition=\"0\"} 3",
        "kafka_server_replicamanager_leadercount 1",
        "kafka_controller_kafkacontroller_activecontrollercount 1",
        "kafka_server_kafkaserver_brokerstate 3",
        "kafka_server_socket_server_metrics_connection_count 1",
        "kafka_server_socket_server_metrics_connection_creation_total 1",
        "klamm_metrics_omitted{of=\"partitions\"} 0",
    ] {
        assert!(page.body.lines().any(|shown| shown == line), "no {line} in\n{}", page.body);
    }
    drop(stream);
    node.stop().await;
}

/// Every family has its head once, and every name in it stands in the documentation.
#[tokio::test]
async fn all_families_are_documented() {
    let documentation = include_str!("../../../../docs/metrics.md");
    let node = Node::start().await;
    let page = node.get("/metrics").await.body;
    let names: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.len() > 30, "{names:?}");
    for name in &names {
        assert!(documentation.contains(&format!("`{name}`")), "{name} is not in docs/metrics.md");
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name} begins twice");
    }
    let documented = documentation.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for name in documented.filter(|name| !name.starts_with('/')) {
        assert!(names.contains(&name) || cfg!(not(target_os = "linux")), "{name} is not on the page");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_broken_disk_is_no_health() {
    let node = Node::start().await;
    for path in ["/health", "/ready"] {
        let answer = node.get(path).await;
        assert_eq!((answer.status.as_str(), answer.body.as_str()), ("HTTP/1.1 200 OK", "ok\n"), "{path}");
    }
    assert_eq!(node.get("/elsewhere").await.status, "HTTP/1.1 404 Not Found");

    let mut stream = node.network.dial("localhost", KAFKA_PORT).await.unwrap();
    make_topic(&mut stream, "words").await;
    node.disk.inject(Fault::always(Operation::Write, "words-0", io::ErrorKind::Other));
    call(&mut stream, &produce("words", &batch()), 9).await;
    let answer = node.get("/health").await;
    assert_eq!(answer.status, "HTTP/1.1 503 Service Unavailable");
    assert!(answer.body.starts_with("log directory /data is offline: "), "{}", answer.body);
    let page = node.get("/metrics").await.body;
    assert!(page.contains("\nkafka_log_logmanager_offlinelogdirectorycount 1\n"), "{page}");
    node.disk.heal();
    drop(stream);
    node.stop().await;
}
