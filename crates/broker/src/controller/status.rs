//! What others on this node may know of the quorum and the controller without asking the driver.

use std::sync::atomic::{AtomicI16, Ordering};

use klamm_quorum::role::Role;
use klamm_quorum::{Leadership, Quorum};
use tokio::sync::watch;

use super::outbound::Outbound;

const LEADER: &str = "leader";

/// The controller that decides, as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActiveController {
    /// Its node id.
    pub(crate) node_id: i32,
    /// The epoch it leads the quorum in.
    pub(crate) epoch: i32,
    /// Whether it is this node's.
    pub(crate) is_here: bool,
    /// Where it listens.
    pub(crate) host: String,
    /// Its port there.
    pub(crate) port: u16,
}

/// Where this node's replica of the metadata log is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ReplicaStatus {
    /// What it is in its epoch, as in `leader`.
    pub(crate) role: &'static str,
    /// Its epoch.
    pub(crate) epoch: i32,
    /// The epoch's leader, −1 while unknown.
    pub(crate) leader_id: i32,
    /// How many vote.
    pub(crate) voter_count: usize,
    /// Where its log ends.
    pub(crate) end_offset: i64,
    /// Everything before it is committed, as far as it knows.
    pub(crate) high_watermark: i64,
    /// The same as a leader tells those that fetch: −1 while it knows nothing, and where this replica does not lead.
    pub(crate) leader_high_watermark: i64,
}

impl ReplicaStatus {
    /// Whether it leads.
    pub(crate) fn is_leader(&self) -> bool {
        self.role == LEADER
    }
}

/// Both.
#[derive(Default)]
pub(crate) struct Status {
    active: watch::Sender<Option<ActiveController>>,
    replica: watch::Sender<ReplicaStatus>,
    kraft_version: AtomicI16,
}

impl Status {
    /// The active controller; none while nobody is known to lead the quorum, or where the leader listens. One that is here is ready to
    /// decide.
    pub(crate) fn active(&self) -> watch::Receiver<Option<ActiveController>> {
        self.active.subscribe()
    }

    /// The replica of the metadata log.
    pub(crate) fn replica(&self) -> watch::Receiver<ReplicaStatus> {
        self.replica.subscribe()
    }

    /// The finalized `kraft.version`.
    pub(crate) fn kraft_version(&self) -> i16 {
        self.kraft_version.load(Ordering::Relaxed)
    }

    /// Takes over how the quorum is now; who waits for a change is woken where there is one.
    pub(super) fn update(&self, quorum: &Quorum, leadership: Option<Leadership>, outbound: &Outbound) {
        let active = leadership.and_then(|leadership| active(quorum, leadership, outbound));
        set(&self.active, active);
        set(&self.replica, replica(quorum));
        self.kraft_version.store(quorum.kraft_version(), Ordering::Relaxed);
    }
}

fn set<T: PartialEq>(shown: &watch::Sender<T>, value: T) {
    shown.send_if_modified(|shown| {
        let is_news = *shown != value;
        *shown = value;
        is_news
    });
}

fn active(quorum: &Quorum, leadership: Leadership, outbound: &Outbound) -> Option<ActiveController> {
    let local = quorum.local();
    let (node_id, epoch) = match leadership {
        Leadership::Leading { epoch } => (local.key.id, epoch),
        Leadership::Following { epoch, leader_id } => (leader_id, epoch),
        Leadership::Nobody { .. } => return None,
    };
    let is_here = node_id == local.key.id;
    let (host, port) = match local.endpoints.first().filter(|_| is_here) {
        Some(own) => (own.host.clone(), own.port),
        None => {
            let address = outbound.address(node_id, quorum.current_voters())?;
            (address.host, address.port)
        }
    };
    Some(ActiveController { node_id, epoch, is_here, host, port })
}

fn replica(quorum: &Quorum) -> ReplicaStatus {
    ReplicaStatus {
        role: role_name(quorum),
        epoch: quorum.epoch(),
        leader_id: quorum.leader_id().unwrap_or(-1),
        voter_count: quorum.current_voters().len(),
        end_offset: quorum.log().end_offset,
        high_watermark: quorum.high_watermark(),
        leader_high_watermark: quorum.leader_high_watermark(),
    }
}

/// Kafka's names of the states.
fn role_name(quorum: &Quorum) -> &'static str {
    match quorum.role() {
        Role::Follower(_) if !quorum.is_voter() => "observer",
        Role::Unattached { .. } => "unattached",
        Role::Prospective { .. } => "prospective",
        Role::Candidate { .. } => "candidate",
        Role::Leader(_) => LEADER,
        Role::Follower(_) => "follower",
        Role::Resigned { .. } => "resigned",
    }
}
