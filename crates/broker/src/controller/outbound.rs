//! The quorum's requests to other nodes: each runs as a task of its own, and what comes back is an input of the driver's loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use klamm_config::endpoint::HostPort;
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::FetchResponse;
use klamm_quorum::message::{EpochInfo, NodeAddress, Request, VoteResponse};
use klamm_quorum::{VoterEndpoint, VoterSet};
use tokio::sync::mpsc;

use crate::environment::{Environment, Place};
use crate::peers::{PeerError, Peers};

/// How long a leader may hold a Fetch back that finds nothing new.
const FETCH_WAIT_MS_MAX: i32 = 500;

/// The ids that stand for `controller.quorum.bootstrap.servers` begin here and fall; −1 means nobody.
const FIRST_BOOTSTRAP_ID: i32 = -2;

/// Ids for so many bootstrap servers, whose own ids are not known.
pub(crate) fn bootstrap_ids(count: usize) -> Vec<i32> {
    (0..count as i32).map(|index| FIRST_BOOTSTRAP_ID - index).collect()
}

/// What the requests of the quorum need to know.
#[derive(Debug, Clone)]
pub(crate) struct OutboundConfig {
    pub(crate) cluster_id: String,
    pub(crate) bootstrap_servers: Vec<HostPort>,
    pub(crate) request_timeout: Duration,
    /// `controller.quorum.fetch.max.bytes`.
    pub(crate) fetch_bytes_max: i32,
}

/// Sends requests, and knows where to.
pub(super) struct Outbound {
    environment: Environment,
    peers: Arc<Peers>,
    config: OutboundConfig,
    /// Where this node's controller listens.
    endpoints: Vec<VoterEndpoint>,
    /// Where nodes listen that are no voters, or were no voters when they were last heard of.
    learned: BTreeMap<i32, HostPort>,
    answers: mpsc::UnboundedSender<PeerAnswer>,
    latest_fetch: u64,
}

/// What came of a request.
pub(super) struct PeerAnswer {
    pub(super) from: i32,
    pub(super) answer: Answered,
    /// Which Fetch it answers; 0 for anything else.
    fetch: u64,
}

/// What another node said.
pub(super) enum Answered {
    Vote(VoteResponse),
    BeginEpoch(EpochInfo),
    EndEpoch(EpochInfo),
    Fetch(Box<FetchResponse<'static>>),
    /// A piece of the snapshot that is being loaded.
    SnapshotProgress,
    /// Nothing usable.
    Failed,
    /// Nothing: its process is gone.
    Gone,
}

/// Where answers come out.
pub(super) type PeerAnswers = mpsc::UnboundedReceiver<PeerAnswer>;

impl Outbound {
    pub(super) fn new(
        environment: Environment,
        node_id: i32,
        endpoints: Vec<VoterEndpoint>,
        config: OutboundConfig,
    ) -> (Self, PeerAnswers) {
        let peers = Arc::new(Peers::new(environment.clone(), format!("raft-client-{node_id}")));
        let (answers, received) = mpsc::unbounded_channel();
        let learned = BTreeMap::new();
        (Self { environment, peers, config, endpoints, learned, answers, latest_fetch: 0 }, received)
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(super) fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    pub(super) fn config(&self) -> &OutboundConfig {
        &self.config
    }

    pub(super) fn answers(&self) -> mpsc::UnboundedSender<PeerAnswer> {
        self.answers.clone()
    }

    /// Takes note of where a node listens.
    pub(super) fn learn(&mut self, address: NodeAddress) {
        if address.id >= 0 {
            self.learned.insert(address.id, HostPort { host: address.host, port: address.port });
        }
    }

    /// The voters are described anew: what was heard of them before counts no more.
    pub(super) fn voters_changed(&mut self, voters: &VoterSet) {
        self.learned.retain(|&id, _| voters.get(id).is_none());
    }

    /// Where a node listens, a bootstrap server's stand-in included. What a node was last heard to say of itself is newer than the voters'
    /// description of it.
    pub(super) fn address(&self, id: i32, voters: &VoterSet) -> Option<HostPort> {
        if id <= FIRST_BOOTSTRAP_ID {
            let index = usize::try_from(FIRST_BOOTSTRAP_ID - id).ok()?;
            return self.config.bootstrap_servers.get(index).cloned();
        }
        let endpoint = || voters.get(id)?.endpoints.first();
        let described = || endpoint().map(|at| HostPort { host: at.host.clone(), port: at.port });
        self.learned.get(&id).cloned().or_else(described)
    }

    /// Sends a request. Of several Fetches only the newest counts: an answer to an older one tells of a log that is no more.
    pub(super) fn send(&mut self, to: i32, request: Request, voters: &VoterSet) {
        let mut fetch = 0;
        if matches!(request, Request::Fetch(_)) {
            self.latest_fetch += 1;
            fetch = self.latest_fetch;
        }
        let answers = self.answers.clone();
        let Some(address) = self.address(to, voters) else {
            // The loop, which holds the other end, may be gone.
            let _ = answers.send(PeerAnswer { from: to, answer: Answered::Failed, fetch });
            return;
        };
        let (peers, config, endpoints) = (self.peers.clone(), self.config.clone(), self.endpoints.clone());
        self.environment.spawn(Place::Control, move || async move {
            let exchange = Exchange { peers: &peers, config: &config, endpoints: &endpoints, address };
            let answer = exchange.run(request).await.unwrap_or_else(|failed| failed.report(to));
            let _ = answers.send(PeerAnswer { from: to, answer, fetch });
        });
    }

    /// Whether an answer still counts.
    pub(super) fn is_current(&self, answer: &PeerAnswer) -> bool {
        answer.fetch == 0 || answer.fetch == self.latest_fetch
    }
}

impl PeerAnswer {
    pub(super) fn snapshot_progress(from: i32) -> Self {
        Self { from, answer: Answered::SnapshotProgress, fetch: 0 }
    }
}

struct Exchange<'e> {
    peers: &'e Peers,
    config: &'e OutboundConfig,
    endpoints: &'e [VoterEndpoint],
    address: HostPort,
}

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("it answers {0}")]
    Refused(ErrorCode),
}

impl ExchangeError {
    fn report(&self, to: i32) -> Answered {
        tracing::debug!("a request to node {to} of the metadata quorum failed: {self}");
        match self {
            Self::Peer(PeerError::Refused { .. }) => Answered::Gone,
            _ => Answered::Failed,
        }
    }
}

impl Exchange<'_> {
    async fn run(&self, request: Request) -> Result<Answered, ExchangeError> {
        let cluster_id = &self.config.cluster_id;
        let refused = ExchangeError::Refused;
        match request {
            Request::Vote(request) => {
                let response = self.call(&request.to_wire(cluster_id)).await?;
                Ok(Answered::Vote(VoteResponse::from_wire(&response).map_err(refused)?))
            }
            Request::BeginEpoch(request) => {
                let response = self.call(&request.to_wire(cluster_id, self.endpoints)).await?;
                Ok(Answered::BeginEpoch(EpochInfo::from_begin_response(&response).map_err(refused)?))
            }
            Request::EndEpoch(request) => {
                let response = self.call(&request.to_wire(cluster_id, self.endpoints)).await?;
                Ok(Answered::EndEpoch(EpochInfo::from_end_response(&response).map_err(refused)?))
            }
            Request::Fetch(request) => {
                let bytes_max = self.config.fetch_bytes_max;
                let response = self.call(&request.to_wire(cluster_id, FETCH_WAIT_MS_MAX, bytes_max)).await?;
                response.error_code.check().map_err(refused)?;
                Ok(Answered::Fetch(Box::new(response)))
            }
        }
    }

    async fn call<R: klamm_protocol::Request>(&self, request: &R) -> Result<R::Response<'static>, PeerError> {
        let HostPort { host, port } = &self.address;
        self.peers.call(host, *port, request, self.config.request_timeout).await
    }
}
