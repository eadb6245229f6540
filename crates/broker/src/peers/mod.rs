//! Connections to the cluster's other nodes.
//!
//! Invariants:
//! - A connection carries one request at a time. After an error it is of no more use: a late answer could be taken for another's.
//! - A connection that rests in the pool holds no buffer, and is looked at before it is used again: one that its peer has closed meanwhile
//!   is not taken for a dead peer.
//! - Every wait has an end.

mod connection;
mod error;
mod pool;
#[cfg(test)]
mod tests;
mod versions;

pub(crate) use connection::PeerConnection;
pub(crate) use error::{PeerAddress, PeerError};
pub(crate) use pool::Peers;
