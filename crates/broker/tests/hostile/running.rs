//! A broker in this process, and a client that behaves.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use klamm_broker::environment::{Environment, Place, SystemClock, SystemRandom};
use klamm_broker::{Server, WorkerThreads};
use klamm_config::load::{Options, load};
use klamm_log::disk::RealDisk;
use klamm_net::TcpNetwork;
use klamm_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use klamm_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use klamm_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use klamm_protocol::messages::{CreateTopicsResponse, FetchResponse, ProduceResponse};
use klamm_protocol::{Decode, Encode, ErrorCode, Reader, Records, Request, Writer, frame, header};

const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;
const CREATE_TOPICS_VERSION: i16 = 7;

/// The tests of this program run beside each other in one process; those that measure its memory run alone.
static MEMORY: RwLock<()> = RwLock::new(());

/// What a broker holds of [`MEMORY`] while it runs.
enum Beside {
    Others { _guard: RwLockReadGuard<'static, ()> },
    Nobody { _guard: RwLockWriteGuard<'static, ()> },
}

/// A broker in a folder of its own, stopped when dropped.
pub(crate) struct Running {
    threads: Arc<WorkerThreads>,
    pub(crate) address: SocketAddr,
    _data: tempfile::TempDir,
    _beside: Beside,
}

impl Running {
    /// A broker with these settings and a topic `t` of one partition.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let guard = MEMORY.read().unwrap_or_else(PoisonError::into_inner);
        Self::start_beside(Beside::Others { _guard: guard }, settings)
    }

    /// The same while no other test runs a broker, so that [`resident_bytes`] tells of this one.
    pub(crate) fn start_alone() -> Self {
        let guard = MEMORY.write().unwrap_or_else(PoisonError::into_inner);
        Self::start_beside(Beside::Nobody { _guard: guard }, &[])
    }

    fn start_beside(beside: Beside, settings: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let listeners = ["listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"];
        let set = listeners.iter().chain(settings).map(|setting| (*setting).to_owned()).collect();
        let options = Options { file: None, set, data: Some(data.path().to_owned()), listen: None };
        let loaded = load(&options).unwrap();
        let threads = Arc::new(WorkerThreads::start(1).unwrap());
        let environment = Environment {
            network: Arc::new(TcpNetwork),
            disk: Arc::new(RealDisk),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            executors: threads.clone(),
        };
        let (report, started) = channel();
        let starting = environment.clone();
        environment.spawn(Place::Control, move || async move {
            let server: Server = klamm_broker::start(loaded, starting).await.unwrap();
            let broker = server.addresses().iter().find(|(name, _)| name == "PLAINTEXT").unwrap().1;
            report.send(broker).unwrap();
            std::future::pending::<()>().await;
        });
        let running = Self { threads, address: started.recv().unwrap(), _data: data, _beside: beside };
        running.client().create_topic("t");
        running
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub(crate) fn client(&self) -> Client {
        Client { stream: self.connect() }
    }

    /// A client that comes now can write, and reads what it wrote.
    pub(crate) fn serves_others(&self) {
        let mut client = self.client();
        let batch = golden_batches().remove(0).1;
        let (error_code, offset) = client.produce("t", &batch);
        assert_eq!(error_code, ErrorCode::NONE);
        let (error_code, records) = client.fetch("t", offset);
        assert_eq!(error_code, ErrorCode::NONE);
        // All but the offset and the epoch in front, which are the broker's.
        assert!(records[16..] == batch[16..]);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.threads.stop();
    }
}

/// A client that says what it means.
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    fn call<R: Request + Encode>(&mut self, request: &R, version: i16) -> Vec<u8> {
        let mut writer = Writer::new();
        frame::encode_request(&mut writer, request, version, 5, Some("hostile")).unwrap();
        self.stream.write_all(writer.as_bytes()).unwrap();
        read_frame(&mut self.stream).unwrap()
    }

    fn create_topic(&mut self, name: &str) {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let response = self.call(&request, CREATE_TOPICS_VERSION);
        let response: CreateTopicsResponse<'_> =
            decode::<CreateTopicsRequest<'_>, _>(&response, CREATE_TOPICS_VERSION);
        assert_eq!(response.topics[0].error_code, ErrorCode::NONE);
    }

    /// What the broker says to a batch, and the offset that it got.
    pub(crate) fn produce(&mut self, topic: &str, batch: &[u8]) -> (ErrorCode, i64) {
        let request = produce_request(topic, batch);
        let response = self.call(&request, PRODUCE_VERSION);
        let response: ProduceResponse<'_> = decode::<ProduceRequest<'_>, _>(&response, PRODUCE_VERSION);
        let partition = &response.responses[0].partition_responses[0];
        (partition.error_code, partition.base_offset)
    }

    /// The bytes from an offset on, a megabyte at most.
    pub(crate) fn fetch(&mut self, topic: &str, offset: i64) -> (ErrorCode, Vec<u8>) {
        let response = self.call(&fetch_request(topic, offset), FETCH_VERSION);
        let response: FetchResponse<'_> = decode::<FetchRequest<'_>, _>(&response, FETCH_VERSION);
        let partition = &response.responses[0].partitions[0];
        let records = partition.records.as_ref().and_then(|records| records.as_bytes()).unwrap_or_default();
        (partition.error_code, records.to_owned())
    }
}

fn produce_request<'a>(topic: &'a str, batch: &'a [u8]) -> ProduceRequest<'a> {
    let partition = PartitionProduceData { index: 0, records: Some(Records::Bytes(batch.into())) };
    let topic =
        TopicProduceData { name: topic.into(), partition_data: vec![partition], ..Default::default() };
    ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() }
}

fn fetch_request(topic: &str, offset: i64) -> FetchRequest<'_> {
    let partition =
        FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topic = FetchTopic { topic: topic.into(), partitions: vec![partition], ..FetchTopic::default() };
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 0,
        session_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    }
}

/// The frame of a fetch, with its size.
pub(crate) fn fetch_frame(topic: &str, offset: i64) -> Vec<u8> {
    let mut writer = Writer::new();
    frame::encode_request(&mut writer, &fetch_request(topic, offset), FETCH_VERSION, 5, None).unwrap();
    writer.into_bytes()
}

fn decode<'a, R: Request, T: Decode<'a>>(response: &'a [u8], version: i16) -> T {
    let mut reader = Reader::new(response);
    assert_eq!(header::decode_response(&mut reader, R::KEY, version).unwrap(), 5);
    T::decode(&mut reader, version).unwrap()
}

/// A frame without its size.
pub(crate) fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut response = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut response)?;
    Ok(response)
}

/// A request with its size in front.
pub(crate) fn framed(request: &[u8]) -> Vec<u8> {
    [&(request.len() as u32).to_be_bytes()[..], request].concat()
}

/// What the broker does about bytes that are all it gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    Answered,
    Closed,
}

/// Sends the bytes and nothing more.
pub(crate) fn reaction(stream: &mut TcpStream, bytes: &[u8]) -> Reaction {
    // The broker may have closed it already.
    let sent = stream.write_all(bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
    match sent.and_then(|()| read_frame(stream)) {
        Ok(_) => Reaction::Answered,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("neither answered nor closed"),
        Err(_) => Reaction::Closed,
    }
}

fn golden(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/golden").join(path);
    std::fs::read_to_string(path).unwrap()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Requests of real clients, by file name and version.
pub(crate) fn golden_request(file: &str, version: i16) -> Vec<u8> {
    let text = golden(&format!("rpc/{file}.txt"));
    let prefix = format!("version {version} request ");
    bytes_of(text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap())
}

/// Real batches of every codec, as a producer without idempotence sends them again and again.
pub(crate) fn golden_batches() -> Vec<(String, Vec<u8>)> {
    let text = golden("batches.txt");
    let batches = text.lines().map(|line| line.split_once(' ').unwrap());
    batches
        .filter(|(name, _)| name.starts_with("codec-"))
        .map(|(name, hex)| (name.to_owned(), as_sent(bytes_of(hex))))
        .collect()
}

/// Without what the broker and idempotence put there.
fn as_sent(mut batch: Vec<u8>) -> Vec<u8> {
    batch[0..8].fill(0);
    batch[43..57].fill(0xff);
    seal(&mut batch);
    batch
}

/// Makes the CRC fit.
pub(crate) fn seal(batch: &mut [u8]) {
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1));
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Numbers that look random, and are the same every time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// The memory of this process, in which the broker runs: only of use while it runs alone.
pub(crate) fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}
