//! A broker that answers as the test says, over a real socket.
//!
//! A test gives a closure that sees every request first; what it does not answer is answered as a healthy broker
//! with one topic would. Requests are noted, so that tests can look at what was sent.

use std::sync::{Arc, Mutex};

use klamm_protocol::messages::api_versions_response::ApiVersion;
use klamm_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use klamm_protocol::messages::{
    ApiVersionsResponse, FindCoordinatorResponse, InitProducerIdResponse, MetadataResponse,
    find_coordinator_response,
};
use klamm_protocol::{ApiKey, Decode, Encode, ErrorCode, Reader, Uuid, Writer, frame, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The topic every fake broker has.
pub(crate) const TOPIC: &str = "t";
/// Its id.
pub(crate) const TOPIC_ID: Uuid = Uuid::from_u128(0x1234);

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    /// The broker's id.
    pub(crate) broker: i32,
    /// The ports of all brokers, by id from 1.
    pub(crate) ports: Vec<u16>,
    /// Counts the broker's connections, from 0.
    pub(crate) connection: usize,
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    body: Vec<u8>,
}

impl Incoming {
    /// The request itself.
    pub(crate) fn decode<'a, R: Decode<'a>>(&'a self) -> R {
        R::decode(&mut Reader::new(&self.body), self.version).expect("the client sends what it means")
    }
}

/// What the broker does about a request.
pub(crate) enum Reply {
    /// Answers.
    Answer(Box<dyn Encode + Send>),
    /// Answers in another version than asked for.
    AnswerIn(i16, Box<dyn Encode + Send>),
    /// Answers under a wrong correlation id.
    Confused(Box<dyn Encode + Send>),
    /// Closes the connection.
    Close,
    /// Does not answer, and leaves the connection open.
    Silence,
}

impl Reply {
    pub(crate) fn answer(response: impl Encode + Send + 'static) -> Self {
        Self::Answer(Box::new(response))
    }
}

/// Looks at a request first; `None` leaves it to the healthy broker.
pub(crate) type Script = dyn Fn(&Incoming) -> Option<Reply> + Send + Sync;

/// A cluster of fake brokers with ids from 1.
pub(crate) struct FakeCluster {
    ports: Vec<u16>,
    log: Arc<Mutex<Vec<Incoming>>>,
}

struct Broker {
    id: i32,
    ports: Vec<u16>,
    partitions: i32,
    script: Arc<Script>,
    log: Arc<Mutex<Vec<Incoming>>>,
}

impl FakeCluster {
    /// `brokers` brokers; all partitions of the topic are led by broker 1 unless the script says otherwise.
    pub(crate) async fn start(
        brokers: usize,
        partitions: i32,
        script: impl Fn(&Incoming) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let mut listeners = Vec::new();
        for _ in 0..brokers {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a free port"));
        }
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().expect("bound").port()).collect();
        let (script, log): (Arc<Script>, _) = (Arc::new(script), Arc::default());
        for (index, listener) in listeners.into_iter().enumerate() {
            let broker = Broker {
                id: index as i32 + 1,
                ports: ports.clone(),
                partitions,
                script: Arc::clone(&script),
                log: Arc::clone(&log),
            };
            tokio::spawn(Arc::new(broker).serve(listener));
        }
        Self { ports, log }
    }

    /// For `bootstrap.servers`.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// All requests of a kind, in the order in which they came.
    pub(crate) fn received(&self, key: ApiKey) -> Vec<Incoming> {
        self.log.lock().expect("no panic").iter().filter(|request| request.key == key).cloned().collect()
    }
}

impl Broker {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut connection = 0;
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&self).serve_connection(socket, connection));
            connection += 1;
        }
    }

    async fn serve_connection(self: Arc<Self>, mut socket: TcpStream, connection: usize) {
        while let Some(frame) = read_frame(&mut socket).await {
            let mut reader = Reader::new(&frame);
            let (key, header) = header::decode_request(&mut reader).expect("a request");
            let version = header.request_api_version;
            let body = reader.remaining().to_vec();
            let request =
                Incoming { broker: self.id, ports: self.ports.clone(), connection, key, version, body };
            self.log.lock().expect("no panic").push(request.clone());
            let reply = (self.script)(&request).unwrap_or_else(|| self.healthy(&request));
            let id = header.correlation_id;
            let bytes = match reply {
                Reply::Answer(response) => response_frame(key, version, id, &*response),
                Reply::AnswerIn(version, response) => response_frame(key, version, id, &*response),
                Reply::Confused(response) => response_frame(key, version, id + 7, &*response),
                Reply::Close => return,
                Reply::Silence => continue,
            };
            if socket.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }

    fn healthy(&self, request: &Incoming) -> Reply {
        match request.key {
            ApiKey::ApiVersions => Reply::answer(api_versions(ApiKey::ALL)),
            ApiKey::Metadata => Reply::answer(metadata(&self.ports, self.partitions, |_| (1, 0))),
            ApiKey::InitProducerId => {
                Reply::answer(InitProducerIdResponse { producer_id: 500, ..Default::default() })
            }
            ApiKey::FindCoordinator => Reply::answer(FindCoordinatorResponse {
                coordinators: vec![find_coordinator_response::Coordinator {
                    node_id: 1,
                    ..Default::default()
                }],
                ..Default::default()
            }),
            key => panic!("the test does not expect {key:?}"),
        }
    }
}

/// An ApiVersions answer with these APIs in all their versions.
pub(crate) fn api_versions(keys: &[ApiKey]) -> ApiVersionsResponse<'static> {
    let api = |key: &ApiKey| ApiVersion {
        api_key: key.as_i16(),
        min_version: key.advertised_versions(false).min,
        max_version: key.advertised_versions(false).max,
    };
    ApiVersionsResponse { api_keys: keys.iter().map(api).collect(), ..Default::default() }
}

/// A metadata answer; `leader` gives each partition's leader and its epoch.
pub(crate) fn metadata(
    ports: &[u16],
    partitions: i32,
    leader: impl Fn(i32) -> (i32, i32),
) -> MetadataResponse<'static> {
    let broker = |(index, port): (usize, &u16)| MetadataResponseBroker {
        node_id: index as i32 + 1,
        host: "127.0.0.1".into(),
        port: i32::from(*port),
        ..Default::default()
    };
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: leader(partition_index).0,
        leader_epoch: leader(partition_index).1,
        ..Default::default()
    };
    MetadataResponse {
        brokers: ports.iter().enumerate().map(broker).collect(),
        topics: vec![MetadataResponseTopic {
            name: Some(TOPIC.into()),
            topic_id: TOPIC_ID,
            error_code: ErrorCode::NONE,
            partitions: (0..partitions).map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

async fn read_frame(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let size = socket.read_i32().await.ok()?;
    let mut frame = vec![0; usize::try_from(size).ok()?];
    socket.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

fn response_frame(key: ApiKey, version: i16, correlation_id: i32, response: &dyn Encode) -> Vec<u8> {
    let mut writer = Writer::new();
    frame::encode(&mut writer, |w| {
        header::encode_response(w, key, version, correlation_id)?;
        response.encode(w, version)
    })
    .expect("the test answers in a version that can say it");
    writer.into_bytes()
}
