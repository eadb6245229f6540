//! What a controller asks the leader about its own vote (KIP-853): to describe it anew where it listens elsewhere by now, and, with
//! `controller.quorum.auto.join.enable`, to be made a voter. With `kraft.version` 0 each leader has to be told once what its voters are: it
//! writes nothing of it until the level is raised.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use klamm_config::endpoint::HostPort;
use klamm_protocol::ErrorCode;
use klamm_quorum::role::Role;
use klamm_quorum::wire::{AddVoter, removal};
use klamm_quorum::{Quorum, ReplicaKey, VoterNode};

use super::outbound::Outbound;
use crate::environment::Place;
use crate::peers::{PeerError, Peers};

/// Asks now and then.
pub(super) struct Joining {
    /// Whether this node asks to be made a voter.
    is_automatic: bool,
    period_ms: i64,
    next_ms: i64,
    /// The newest epoch whose leader knows this voter, where it is named by the settings.
    described_in: Arc<AtomicI32>,
}

/// One request to the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wish {
    /// To have this node's description replaced.
    Update { epoch: i32 },
    /// To have the vote removed that this node had with another directory.
    Remove(ReplicaKey),
    /// To become a voter.
    Add,
}

impl Joining {
    pub(super) fn new(is_automatic: bool, period_ms: i64, now_ms: i64) -> Self {
        Self {
            is_automatic,
            period_ms,
            next_ms: now_ms + period_ms,
            described_in: Arc::new(AtomicI32::new(-1)),
        }
    }

    /// Asks the leader for what is due at `now_ms`.
    pub(super) fn tick(&mut self, now_ms: i64, quorum: &Quorum, outbound: &Outbound) {
        if now_ms < self.next_ms {
            return;
        }
        self.next_ms = now_ms + self.period_ms;
        let Role::Follower(follower) = quorum.role() else { return };
        let Some(wish) = self.wish(quorum) else { return };
        let Some(address) = outbound.address(follower.leader_id, quorum.current_voters()) else { return };
        let asking = Asking {
            peers: outbound.peers().clone(),
            cluster_id: outbound.config().cluster_id.clone(),
            timeout: outbound.config().request_timeout,
            address,
            local: quorum.local().clone(),
            described_in: self.described_in.clone(),
        };
        outbound.environment().spawn(Place::Control, move || asking.run(wish));
    }

    fn wish(&self, quorum: &Quorum) -> Option<Wish> {
        let local = quorum.local();
        if quorum.kraft_version() == 0 {
            let epoch = quorum.epoch();
            let is_unknown = quorum.is_voter() && self.described_in.load(Ordering::Relaxed) < epoch;
            return is_unknown.then_some(Wish::Update { epoch });
        }
        match quorum.current_voters().get(local.key.id) {
            Some(voter) if voter.key == local.key => {
                (voter != local).then_some(Wish::Update { epoch: quorum.epoch() })
            }
            Some(voter) => self.is_automatic.then_some(Wish::Remove(voter.key)),
            None => self.is_automatic.then_some(Wish::Add),
        }
    }
}

struct Asking {
    peers: Arc<Peers>,
    cluster_id: String,
    timeout: Duration,
    address: HostPort,
    local: VoterNode,
    described_in: Arc<AtomicI32>,
}

impl Asking {
    async fn run(self, wish: Wish) {
        let answer = self.ask(&wish).await;
        if let (Wish::Update { epoch }, Ok(ErrorCode::NONE | ErrorCode::UNSUPPORTED_VERSION)) =
            (&wish, &answer)
        {
            // A leader of older software knows no more than the settings, whatever it is told.
            self.described_in.fetch_max(*epoch, Ordering::Relaxed);
        }
        match answer {
            Ok(ErrorCode::NONE) => tracing::info!("the leader of the metadata quorum granted {wish:?}"),
            Ok(error) => tracing::debug!("the leader of the metadata quorum refused {wish:?}: {error}"),
            Err(error) => {
                tracing::debug!("the leader of the metadata quorum was not asked {wish:?}: {error}")
            }
        }
    }

    async fn ask(&self, wish: &Wish) -> Result<ErrorCode, PeerError> {
        match wish {
            Wish::Update { epoch } => {
                let request = self.local.to_update_request(&self.cluster_id, *epoch);
                Ok(self.call(&request).await?.error_code)
            }
            Wish::Remove(key) => Ok(self.call(&removal(*key, &self.cluster_id)).await?.error_code),
            Wish::Add => {
                // Not until it is committed: the leader counts this node's vote for that, and this node fetches meanwhile.
                let endpoints = self.local.endpoints.clone();
                let addition = AddVoter { key: self.local.key, endpoints, ack_when_committed: false };
                let timeout_ms = self.timeout.as_millis() as i32;
                Ok(self.call(&addition.to_wire(&self.cluster_id, timeout_ms)).await?.error_code)
            }
        }
    }

    async fn call<R: klamm_protocol::Request>(&self, request: &R) -> Result<R::Response<'static>, PeerError> {
        self.peers.call(&self.address.host, self.address.port, request, self.timeout).await
    }
}
