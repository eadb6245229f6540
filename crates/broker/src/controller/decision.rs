//! Handing requests to the controller.

use std::sync::Arc;

use klamm_controller::{Controller, Decision, Step};
use klamm_metadata::MetadataRecord;
use klamm_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use klamm_quorum::QuorumDescription;
use tokio::sync::{mpsc, oneshot, watch};

use super::replica_request::{ReplicaRequest, Reply, Told};
use super::status::{ActiveController, ReplicaStatus, Status};

/// There is no active controller here, or the broker is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no active controller")]
pub(crate) struct Unavailable;

/// What the driver can be asked for.
pub(crate) enum Request {
    /// A decision of the controller.
    Decide(Decide),
    /// A change of feature levels.
    UpdateFeatures(UpdateFeaturesRequest<'static>, oneshot::Sender<UpdateFeaturesResponse<'static>>),
    /// The state of the quorum; none where this node does not lead it.
    DescribeQuorum(oneshot::Sender<Option<QuorumDescription>>),
    /// What other replicas of the metadata log ask.
    Replica(Box<ReplicaRequest>),
    /// To give the lead of the quorum up; answered when the others know, or at once where there is nothing to give up.
    Resign(oneshot::Sender<()>),
}

/// A request whose kind is no longer known: it makes records, and knows what to do when they are committed.
pub(crate) type Decide = Box<dyn FnOnce(&mut Controller, &mut Step<'_>) -> Decided + Send>;

/// Where requests for the controller come out.
pub(crate) type Requests = mpsc::UnboundedReceiver<Request>;

/// What became of a request.
pub(crate) struct Decided {
    pub(super) records: Vec<MetadataRecord<'static>>,
    /// To be called once the records are committed and the image that has them is published.
    pub(super) answer: Box<dyn FnOnce() + Send>,
}

/// Where requests for the controller go.
#[derive(Clone)]
pub(crate) struct ControllerHandle {
    requests: mpsc::UnboundedSender<Request>,
    status: Arc<Status>,
}

impl ControllerHandle {
    /// A handle, and where its requests come out.
    pub(crate) fn new() -> (Self, Requests) {
        let (requests, received) = mpsc::unbounded_channel();
        (Self { requests, status: Arc::default() }, received)
    }

    pub(crate) fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// The node whose controller is active, −1 when none is known.
    pub(crate) fn leader_id(&self) -> i32 {
        self.status.active().borrow().as_ref().map_or(-1, |active| active.node_id)
    }

    /// The active controller; none while nobody is known to lead the quorum, or where the leader listens. One that is here is ready to
    /// decide.
    pub(crate) fn active_controller(&self) -> watch::Receiver<Option<ActiveController>> {
        self.status.active()
    }

    /// The finalized `kraft.version`.
    pub(crate) fn kraft_version(&self) -> i16 {
        self.status.kraft_version()
    }

    /// Has the controller decide; returns its response once what it decided is committed and visible here.
    ///
    /// # Errors
    /// When there is no active controller. Whether the decision was committed is then not known.
    pub(crate) async fn decide<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&Controller, &mut Step<'_>) -> Decision<R> + Send + 'static,
    ) -> Result<R, Unavailable> {
        self.decide_mut(move |controller, step| decide(controller, step)).await
    }

    /// The same for requests that also touch the controller's soft state (heartbeats).
    pub(crate) async fn decide_mut<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Controller, &mut Step<'_>) -> Decision<R> + Send + 'static,
    ) -> Result<R, Unavailable> {
        let (respond, response) = oneshot::channel();
        let request: Decide = Box::new(move |controller, step| {
            let Decision { records, response } = decide(controller, step);
            // Whoever asked may be gone.
            let answer = Box::new(move || drop(respond.send(response)));
            Decided { records, answer }
        });
        self.requests.send(Request::Decide(request)).map_err(|_| Unavailable)?;
        response.await.map_err(|_| Unavailable)
    }

    /// Changes feature levels; returns once that is committed.
    ///
    /// # Errors
    /// When there is no active controller. Whether the change was committed is then not known.
    pub(crate) async fn update_features(
        &self,
        request: UpdateFeaturesRequest<'static>,
    ) -> Result<UpdateFeaturesResponse<'static>, Unavailable> {
        let (respond, response) = oneshot::channel();
        self.requests.send(Request::UpdateFeatures(request, respond)).map_err(|_| Unavailable)?;
        response.await.map_err(|_| Unavailable)
    }

    /// The quorum as its leader sees it; none where this node does not lead it.
    pub(crate) async fn describe_quorum(&self) -> Result<Option<QuorumDescription>, Unavailable> {
        let (respond, response) = oneshot::channel();
        self.requests.send(Request::DescribeQuorum(respond)).map_err(|_| Unavailable)?;
        response.await.map_err(|_| Unavailable)
    }

    /// Has this node's replica of the metadata log answer.
    pub(crate) async fn ask_replica<T>(
        &self,
        request: impl FnOnce(Reply<T>) -> ReplicaRequest,
    ) -> Result<Told<T>, Unavailable> {
        let (respond, response) = oneshot::channel();
        self.requests.send(Request::Replica(Box::new(request(respond)))).map_err(|_| Unavailable)?;
        response.await.map_err(|_| Unavailable)
    }

    /// Where this node's replica of the metadata log is.
    pub(crate) fn replica_status(&self) -> watch::Receiver<ReplicaStatus> {
        self.status.replica()
    }

    /// Gives the lead of the quorum up, if this node has it and there is somebody to take it. Returns when the others know.
    pub(crate) async fn resign(&self) {
        let (done, is_done) = oneshot::channel();
        if self.requests.send(Request::Resign(done)).is_ok() {
            let _ = is_done.await;
        }
    }
}
