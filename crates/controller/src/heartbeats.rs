//! When brokers were last heard of. Not in the log: a new controller grants each broker a whole session first.

use std::collections::BTreeMap;

/// One broker's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// The incarnation the session belongs to.
    pub(crate) epoch: i64,
    /// Last contact, or when this controller took over, in milliseconds.
    pub(crate) contact_ms: i64,
    /// Whether the broker is known to live: it spoke to this controller, and was neither fenced nor lost sight of since.
    pub(crate) is_alive: bool,
    /// How far the broker has replayed the metadata log, −1 before it said.
    pub(crate) metadata_offset: i64,
    /// The log's end when its controlled shutdown began.
    pub(crate) shutdown_offset: Option<i64>,
}

/// The sessions of all registered brokers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heartbeats {
    sessions: BTreeMap<i32, Session>,
}

impl Heartbeats {
    /// Starts a session afresh. A broker that this controller only knows from the log may not be there any more.
    pub(crate) fn begin(&mut self, broker_id: i32, epoch: i64, now_ms: i64, is_alive: bool) {
        let (metadata_offset, shutdown_offset) = (-1, None);
        let session = Session { epoch, contact_ms: now_ms, is_alive, metadata_offset, shutdown_offset };
        self.sessions.insert(broker_id, session);
    }

    pub(crate) fn end(&mut self, broker_id: i32) {
        self.sessions.remove(&broker_id);
    }

    pub(crate) fn get(&self, broker_id: i32) -> Option<&Session> {
        self.sessions.get(&broker_id)
    }

    pub(crate) fn get_mut(&mut self, broker_id: i32) -> Option<&mut Session> {
        self.sessions.get_mut(&broker_id)
    }

    /// The sessions by broker id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i32, &Session)> + '_ {
        self.sessions.iter().map(|(&id, session)| (id, session))
    }
}
