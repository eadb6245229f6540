//! A connection to any broker of several, without waiting long for one that keeps silent.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use super::{Cluster, NodeKey};
use crate::connection::Connection;
use crate::error::{BrokerName, ConnectError};

/// How long a broker may take to let us in before another one is tried beside it: many round trips, but far less than
/// `socket.connection.setup.timeout.ms`. The kernel takes a connection in the name of a process that hangs, so only its silence
/// tells.
pub(super) const ALONE: Duration = Duration::from_secs(1);

type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send + 'a>>;

impl Cluster {
    /// The first of these that lets us in. They are tried in this order, the next one when those before have failed or kept
    /// silent for a while.
    pub(super) async fn first_of(
        &self,
        candidates: Vec<(NodeKey, BrokerName)>,
    ) -> Result<Connection, ConnectError> {
        let mut candidates = candidates.into_iter();
        let mut attempts: Vec<Attempt<'_>> = Vec::new();
        let mut last = ConnectError::UnknownBroker { id: -1 };
        loop {
            match candidates.next() {
                Some((key, name)) => attempts.push(Box::pin(self.connect(key, name))),
                None if attempts.is_empty() => return Err(last),
                None => {}
            }
            let limit = if candidates.len() > 0 { ALONE } else { Duration::MAX };
            match tokio::time::timeout(limit, first_ended(&mut attempts)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => last = error,
                Err(_) => {}
            }
        }
    }
}

/// What comes of the first attempt that ends; the others go on.
async fn first_ended(attempts: &mut Vec<Attempt<'_>>) -> Result<Connection, ConnectError> {
    poll_fn(|context| {
        for at in 0..attempts.len() {
            if let Poll::Ready(ended) = attempts[at].as_mut().poll(context) {
                drop(attempts.remove(at));
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    })
    .await
}
