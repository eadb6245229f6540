//! A broker on a simulated disk, which outlives it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use klamm_broker::WorkerThreads;
use klamm_broker::environment::{Environment, Place, SystemClock, SystemRandom};
use klamm_config::load::{Options, load};
use klamm_log::disk::simulated::SimulatedDisk;
use klamm_net::TcpNetwork;
use klamm_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use klamm_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use klamm_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, ProduceRequest};
use klamm_protocol::{Decode, ErrorCode, IntoStatic, Reader, Records, Request, Writer, frame, header};
use klamm_records::{BatchBuilder, NewRecord};
use tokio::sync::oneshot;

/// How long a test waits for what takes milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A running broker.
pub(crate) struct Node {
    threads: Arc<WorkerThreads>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: Receiver<Result<(), String>>,
}

impl Node {
    /// Starts a broker whose directories are those of the settings, on loopback where they name no listeners.
    pub(crate) fn start(disk: &SimulatedDisk, settings: &[&str]) -> Result<Self, String> {
        let listeners = "listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0";
        let set = [&listeners].into_iter().chain(settings).map(ToString::to_string).collect();
        let loaded = load(&Options { set, ..Options::default() }).unwrap();
        let threads = Arc::new(WorkerThreads::start(1).unwrap());
        let environment = Environment {
            network: Arc::new(TcpNetwork),
            disk: Arc::new(disk.clone()),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            executors: threads.clone(),
        };
        let ((report, started), (end, ended)) = (channel(), channel());
        let (stop, stopped) = oneshot::channel();
        let starting = environment.clone();
        environment.spawn(Place::Control, move || async move {
            let mut server = match klamm_broker::start(loaded, starting).await {
                Ok(server) => server,
                Err(error) => return report.send(Err(error.to_string())).unwrap(),
            };
            report.send(Ok(server.addresses()[0].1)).unwrap();
            let result = tokio::select! {
                reason = server.failed() => Err(reason),
                _ = stopped => server.stop().await.map_err(|error| error.to_string()),
            };
            let _ = end.send(result);
        });
        match started.recv_timeout(PATIENCE).expect("a start ends") {
            Ok(address) => Ok(Self { threads, address, stop: Some(stop), ended }),
            Err(reason) => {
                threads.stop();
                Err(reason)
            }
        }
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) {
        drop(self.stop.take());
        self.ended.recv_timeout(PATIENCE).unwrap().unwrap();
    }

    /// Why it could not go on.
    pub(crate) fn failure(&self) -> String {
        self.ended.recv_timeout(PATIENCE).unwrap().unwrap_err()
    }

    /// Sends a request and waits for the answer.
    pub(crate) fn ask<R: Request>(&self, request: &R, version: i16) -> R::Response<'static> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut writer = Writer::new();
        frame::encode_request(&mut writer, request, version, 1, None).unwrap();
        stream.write_all(writer.as_bytes()).unwrap();
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        let mut response = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut response).unwrap();
        let mut reader = Reader::new(&response);
        header::decode_response(&mut reader, R::KEY, version).unwrap();
        R::Response::decode(&mut reader, version).unwrap().into_static()
    }

    /// Makes a topic of one partition.
    pub(crate) fn create_topic(&self, name: &'static str, settings: &[(&'static str, &'static str)]) {
        let setting = |&(name, value): &(&'static str, &'static str)| CreatableTopicConfig {
            name: name.into(),
            value: Some(value.into()),
        };
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor: 1,
            configs: settings.iter().map(setting).collect(),
            ..CreatableTopic::default()
        };
        let request =
            CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..CreateTopicsRequest::default() };
        assert_eq!(self.ask(&request, 5).topics[0].error_code, ErrorCode::NONE);
    }

    pub(crate) fn delete_topic(&self, name: &'static str) {
        let request = DeleteTopicsRequest {
            topic_names: vec![name.into()],
            timeout_ms: 10_000,
            ..DeleteTopicsRequest::default()
        };
        assert_eq!(self.ask(&request, 4).responses[0].error_code, ErrorCode::NONE);
    }

    /// Writes a record to a topic's partition 0; its offset, or why it was refused.
    pub(crate) fn produce(&self, topic: &'static str, value: &str) -> Result<i64, ErrorCode> {
        let mut batch = BatchBuilder::new(0);
        batch.append(&NewRecord { timestamp: 0, key: None, value: Some(value.as_bytes()), headers: &[] });
        let partition =
            PartitionProduceData { index: 0, records: Some(Records::Bytes(batch.build().into())) };
        let topic = TopicProduceData {
            name: topic.into(),
            partition_data: vec![partition],
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        };
        let response = &self.ask(&request, 9).responses[0].partition_responses[0];
        match response.error_code {
            ErrorCode::NONE => Ok(response.base_offset),
            error_code => Err(error_code),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.threads.stop();
    }
}
