//! What brokers ask the active controller, wherever it is.

use std::time::Duration;

use klamm_controller::{Controller, Decision, Step};
use klamm_protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionRequest, AlterPartitionResponse,
    AssignReplicasToDirsRequest, AssignReplicasToDirsResponse, BrokerHeartbeatRequest,
    BrokerHeartbeatResponse, BrokerRegistrationRequest, BrokerRegistrationResponse,
    ControllerRegistrationRequest, ControllerRegistrationResponse, CreateTopicsRequest, CreateTopicsResponse,
};
use klamm_protocol::{ApiKey, ErrorCode, Request};
use tokio::time::Instant;

use super::status::ActiveController;
use crate::broker::Broker;
use crate::peers::PeerError;

/// How long to wait before asking again when nothing new is heard of the active controller.
const RETRY_MS: u64 = 50;

/// A request of a broker to the active controller. The controller decides it the same way whether it came over the wire or not.
pub(crate) trait ControllerRequest: Request + Clone + Send + 'static {
    /// The controller's decision.
    fn decide(&self, controller: &mut Controller, step: &mut Step<'_>) -> Decision<Self::Response<'static>>;

    /// The error that a response reports for the request as a whole.
    fn error_code(response: &Self::Response<'_>) -> ErrorCode;
}

/// One that only nodes send, and that reports an error for the request as a whole.
pub(crate) trait NodeRequest: ControllerRequest {
    /// A response that reports nothing but an error.
    fn refused(error_code: ErrorCode) -> Self::Response<'static>;
}

/// No active controller has answered in time.
#[derive(Debug, thiserror::Error)]
#[error("no active controller answered {api} within {after_ms} ms{}", .last.as_ref().map(|last| format!(": {last}")).unwrap_or_default())]
pub(crate) struct ControllerUnavailable {
    api: ApiKey,
    after_ms: u64,
    /// What went wrong last.
    last: Option<PeerError>,
}

impl Broker {
    /// Asks the active controller: in process when it is here, else over the wire. Keeps asking up to `timeout` while there is none, or
    /// while the one that was asked says that it is not. What was asked may have been carried out although no answer came.
    ///
    /// # Errors
    /// When there is still no answer after `timeout`.
    pub(crate) async fn ask_controller<R: ControllerRequest>(
        &self,
        request: R,
        timeout: Duration,
    ) -> Result<R::Response<'static>, ControllerUnavailable> {
        let deadline = Instant::now() + timeout;
        let mut active = self.controller().active_controller();
        let mut last = None;
        let asking = async {
            loop {
                let known = active.borrow_and_update().clone();
                let asked = async {
                    match known {
                        Some(known) => self.ask(&known, request.clone(), deadline).await,
                        None => Ok(None),
                    }
                };
                tokio::select! {
                    biased;
                    asked = asked => match asked {
                        Ok(Some(response)) => return response,
                        Ok(None) => {}
                        Err(error) => last = Some(error),
                    },
                    _ = active.changed() => continue,
                }
                // Whoever was asked does not know better yet either.
                let _ = tokio::time::timeout(Duration::from_millis(RETRY_MS), active.changed()).await;
            }
        };
        let answered = tokio::time::timeout_at(deadline, asking).await;
        let after_ms = timeout.as_millis() as u64;
        answered.map_err(|_| ControllerUnavailable { api: R::KEY, after_ms, last })
    }

    /// Asks one node; none where its controller is not active.
    async fn ask<R: ControllerRequest>(
        &self,
        controller: &ActiveController,
        request: R,
        deadline: Instant,
    ) -> Result<Option<R::Response<'static>>, PeerError> {
        if controller.is_here {
            let decide =
                move |controller: &mut Controller, step: &mut Step<'_>| request.decide(controller, step);
            return Ok(self.controller().decide_mut(decide).await.ok());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let response = self.peers().call(&controller.host, controller.port, &request, left).await?;
        Ok(Some(response).filter(|response| R::error_code(response) != ErrorCode::NOT_CONTROLLER))
    }
}

/// Topics that brokers make on their own; each has an error of its own.
impl ControllerRequest for CreateTopicsRequest<'static> {
    fn decide(
        &self,
        controller: &mut Controller,
        step: &mut Step<'_>,
    ) -> Decision<CreateTopicsResponse<'static>> {
        controller.create_topics(step, self, &|_| true)
    }

    fn error_code(response: &CreateTopicsResponse<'_>) -> ErrorCode {
        let is_refused = response.topics.iter().any(|topic| topic.error_code == ErrorCode::NOT_CONTROLLER);
        if is_refused { ErrorCode::NOT_CONTROLLER } else { ErrorCode::NONE }
    }
}

/// The error code is the same field in all of these.
macro_rules! node_requests {
    ($($request:ty => $response:ident, |$asked:ident, $controller:ident, $step:pat_param| $decision:expr;)*) => {$(
        impl ControllerRequest for $request {
            fn decide(
                &self,
                $controller: &mut Controller,
                $step: &mut Step<'_>,
            ) -> Decision<Self::Response<'static>> {
                let $asked = self;
                $decision
            }

            fn error_code(response: &Self::Response<'_>) -> ErrorCode {
                response.error_code
            }
        }

        impl NodeRequest for $request {
            fn refused(error_code: ErrorCode) -> Self::Response<'static> {
                $response { error_code, ..Default::default() }
            }
        }
    )*};
}

node_requests! {
    AllocateProducerIdsRequest => AllocateProducerIdsResponse, |request, controller, _| controller.allocate_producer_ids(request);
    AlterPartitionRequest => AlterPartitionResponse, |request, controller, _| controller.alter_partition(request);
    AssignReplicasToDirsRequest => AssignReplicasToDirsResponse, |request, controller, _| controller.assign_replicas_to_dirs(request);
    BrokerHeartbeatRequest => BrokerHeartbeatResponse, |request, controller, step| {
        controller.touch(step.now_ms, request);
        controller.heartbeat(request)
    };
    BrokerRegistrationRequest<'static> => BrokerRegistrationResponse, |request, controller, step| controller.register_broker(step, request);
    ControllerRegistrationRequest<'static> => ControllerRegistrationResponse, |request, controller, _| controller.register_controller(request);
}
