//! One member of a classic group.

use std::sync::Arc;

use klamm_protocol::messages::JoinGroupRequest;

use crate::step::{RequestContext, RequestId};
use crate::timer::Timer;

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parked {
    pub(crate) request: RequestId,
    pub(crate) api_version: i16,
}

impl Parked {
    pub(crate) fn new(context: &RequestContext<'_>) -> Self {
        Self { request: context.request, api_version: context.api_version }
    }
}

/// An assignment protocol that a member offers, and the bytes that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub(crate) name: Box<str>,
    pub(crate) metadata: Box<[u8]>,
}

/// What a JoinGroup request says about its member; all of it may change with every join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// In the member's order of preference, each name once.
    pub(crate) protocols: Vec<Protocol>,
}

impl Subscription {
    pub(super) fn of(request: &JoinGroupRequest<'_>, api_version: i16) -> Self {
        // Version 0 knows one timeout for both.
        let rebalance_timeout_ms =
            if api_version == 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms };
        let mut protocols: Vec<Protocol> = Vec::with_capacity(request.protocols.len());
        for protocol in &request.protocols {
            if !protocols.iter().any(|known| *known.name == *protocol.name) {
                protocols.push(Protocol {
                    name: protocol.name.as_ref().into(),
                    metadata: protocol.metadata.as_ref().into(),
                });
            }
        }
        Self { rebalance_timeout_ms, session_timeout_ms: request.session_timeout_ms, protocols }
    }
}

/// A member of a classic group.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: Arc<str>,
    /// Makes the member static: a restart that brings the same instance id back takes over its place.
    pub(crate) instance_id: Option<Box<str>>,
    pub(crate) client_id: Box<str>,
    pub(crate) client_host: Box<str>,
    pub(crate) subscription: Subscription,
    pub(crate) assignment: Vec<u8>,
    /// Has not seen the answer to its first join yet.
    pub(crate) is_new: bool,
    /// Passes when the member has not been heard of for its session timeout.
    pub(crate) session: Option<Timer>,
    /// Private to the group, which counts them.
    pub(super) parked_join: Option<Parked>,
    pub(super) parked_sync: Option<Parked>,
}

impl Member {
    pub(crate) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    pub(crate) fn is_awaiting_join(&self) -> bool {
        self.parked_join.is_some()
    }

    /// Whether silence is no sign of death: a member that waits for an answer cannot heartbeat. A new one can, in
    /// effect, die while it waits, because its id is not known to it yet.
    pub(crate) fn is_excused(&self) -> bool {
        !self.is_new && (self.parked_join.is_some() || self.parked_sync.is_some())
    }

    /// The bytes the member offered for `protocol`.
    pub(crate) fn metadata(&self, protocol: &str) -> &[u8] {
        let offered = self.subscription.protocols.iter().find(|offered| *offered.name == *protocol);
        offered.map_or(&[], |offered| &offered.metadata)
    }
}
