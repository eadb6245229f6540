//! Against listeners on loopback that answer, stay silent, hang up, or talk nonsense.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use klamm_net::{Network, TcpNetwork};
use klamm_protocol::messages::api_versions_response::ApiVersion;
use klamm_protocol::messages::{ApiVersionsResponse, HeartbeatRequest, HeartbeatResponse, VoteRequest};
use klamm_protocol::{ApiKey, Encode, ErrorCode, Reader, Writer, frame, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::connection::PeerConnection;
use super::*;
use crate::environment::{Environment, SystemClock, SystemRandom};
use crate::worker_threads::WorkerThreads;

const PATIENCE: Duration = Duration::from_secs(10);
const IMPATIENCE: Duration = Duration::from_millis(50);

/// What a peer does with a request: its answer's bytes, or none to hang up.
type Behaviour = fn(ApiKey, i16, i32) -> Option<Vec<u8>>;

/// A peer that serves connections one by one, and how many it was given.
struct Peer {
    port: u16,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Peer {
    async fn start(behaviour: Behaviour) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                serve(stream, behaviour).await;
            }
        });
        Self { port, connections, task }
    }
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour) {
    while let Ok(size) = stream.read_u32().await {
        let mut request = vec![0; size as usize];
        stream.read_exact(&mut request).await.unwrap();
        let (api, header) = header::decode_request(&mut Reader::new(&request)).unwrap();
        match behaviour(api, header.request_api_version, header.correlation_id) {
            Some(answer) => stream.write_all(&answer).await.unwrap(),
            None => return,
        }
    }
}

/// A peer that knows ApiVersions up to 3 and Heartbeat up to 2, and answers both.
fn well_behaved(api: ApiKey, version: i16, id: i32) -> Option<Vec<u8>> {
    match (api, version) {
        (ApiKey::ApiVersions, 4..) => {
            let error_code = ErrorCode::UNSUPPORTED_VERSION;
            Some(encoded(api, 0, id, &ApiVersionsResponse { error_code, ..versions() }))
        }
        (ApiKey::ApiVersions, _) => Some(encoded(api, version, id, &versions())),
        (ApiKey::Heartbeat, 2) => Some(encoded(api, version, id, &heartbeat_response())),
        _ => None,
    }
}

fn versions() -> ApiVersionsResponse<'static> {
    let api = |key: ApiKey, max_version| ApiVersion { api_key: key.as_i16(), min_version: 0, max_version };
    ApiVersionsResponse {
        api_keys: vec![api(ApiKey::ApiVersions, 3), api(ApiKey::Heartbeat, 2)],
        ..ApiVersionsResponse::default()
    }
}

fn heartbeat_response() -> HeartbeatResponse {
    HeartbeatResponse { error_code: ErrorCode::REBALANCE_IN_PROGRESS, ..HeartbeatResponse::default() }
}

fn encoded(api: ApiKey, version: i16, id: i32, response: &impl Encode) -> Vec<u8> {
    let mut writer = Writer::new();
    frame::encode_response(&mut writer, api, version, id, response).unwrap();
    writer.into_bytes()
}

fn run<F: Future<Output = ()>>(test: impl FnOnce(Environment) -> F) {
    let threads = Arc::new(WorkerThreads::start(1).unwrap());
    let environment = Environment {
        network: Arc::new(TcpNetwork),
        disk: Arc::new(klamm_log::disk::simulated::SimulatedDisk::new(Default::default())),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        executors: threads.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test(environment));
    threads.stop();
}

async fn dial(environment: &Environment, port: u16, timeout: Duration) -> Result<PeerConnection, PeerError> {
    PeerConnection::dial(environment, "127.0.0.1", port, "7", timeout).await
}

#[test]
fn requests_are_answered_at_the_newest_common_version() {
    run(|environment| async move {
        let peer = Peer::start(well_behaved).await;
        let mut connection = dial(&environment, peer.port, PATIENCE).await.unwrap();
        for _ in 0..3 {
            let response = connection.call(&HeartbeatRequest::default(), PATIENCE).await.unwrap();
            assert_eq!(response, heartbeat_response());
        }
        let answer = connection.call_frame(&HeartbeatRequest::default(), PATIENCE).await.unwrap();
        assert_eq!(answer.version, 2);
        assert_eq!(answer.decode::<HeartbeatRequest<'_>>().unwrap(), heartbeat_response());
    });
}

#[test]
fn a_request_the_peer_does_not_have_is_not_sent() {
    run(|environment| async move {
        let peer = Peer::start(well_behaved).await;
        let mut connection = dial(&environment, peer.port, PATIENCE).await.unwrap();
        let refused = connection.call(&VoteRequest::default(), PATIENCE).await.unwrap_err();
        assert!(matches!(refused, PeerError::Unsupported { api: ApiKey::Vote, .. }), "{refused}");
        assert!(connection.call(&HeartbeatRequest::default(), PATIENCE).await.is_ok());
    });
}

#[test]
fn a_port_without_a_listener_refuses() {
    run(|environment| async move {
        let listener = TcpNetwork.listen(SocketAddr::from(([127, 0, 0, 1], 0)), 1).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = dial(&environment, port, PATIENCE).await.err().unwrap();
        assert!(matches!(error, PeerError::Refused { .. }), "{error}");
    });
}

#[test]
fn a_peer_that_hangs_up_is_gone() {
    run(|environment| async move {
        let peer = Peer::start(|_, _, _| None).await;
        let error = dial(&environment, peer.port, PATIENCE).await.err().unwrap();
        assert!(matches!(error, PeerError::Disconnected { .. }), "{error}");
    });
}

#[test]
fn a_silent_peer_is_late_and_not_gone() {
    run(|environment| async move {
        let listener = TcpNetwork.listen(SocketAddr::from(([127, 0, 0, 1], 0)), 1).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = dial(&environment, port, IMPATIENCE).await.err().unwrap();
        assert!(matches!(error, PeerError::TimedOut { after_ms: 50, .. }), "{error}");
        drop(listener);
    });
}

#[test]
fn nonsense_is_told_apart() {
    run(|environment| async move {
        let nonsense: [Behaviour; 3] = [
            // The answer to another request.
            |api, version, id| match api {
                ApiKey::ApiVersions => well_behaved(api, version, id),
                _ => Some(encoded(api, version, id + 1, &heartbeat_response())),
            },
            // Half an answer.
            |api, version, id| match api {
                ApiKey::ApiVersions => well_behaved(api, version, id),
                _ => Some([&[0, 0, 0, 5][..], &id.to_be_bytes(), &[0]].concat()),
            },
            // An impossible length.
            |api, version, id| match api {
                ApiKey::ApiVersions => well_behaved(api, version, id),
                _ => Some(vec![0xff; 4]),
            },
        ];
        for behaviour in nonsense {
            let peer = Peer::start(behaviour).await;
            let mut connection = dial(&environment, peer.port, PATIENCE).await.unwrap();
            let error = connection.call(&HeartbeatRequest::default(), PATIENCE).await.unwrap_err();
            assert!(matches!(error, PeerError::Unreadable { api: ApiKey::Heartbeat, .. }), "{error}");
        }
    });
}

#[test]
fn a_pooled_connection_is_used_again() {
    run(|environment| async move {
        let peer = Peer::start(well_behaved).await;
        let peers = Peers::new(environment, "7".to_owned());
        for _ in 0..3 {
            let called = peers.call("127.0.0.1", peer.port, &HeartbeatRequest::default(), PATIENCE).await;
            assert_eq!(called.unwrap(), heartbeat_response());
        }
        assert_eq!(peer.connections.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_resting_connection_that_the_peer_closes_is_stale() {
    run(|environment| async move {
        let peer = Peer::start(well_behaved).await;
        let mut link = dial(&environment, peer.port, PATIENCE).await.unwrap().rest().unwrap();
        assert!(!link.is_stale());
        peer.task.abort();
        let noticed = async {
            while !link.is_stale() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, noticed).await.unwrap();
    });
}
