//! Loading a snapshot from the leader, piece by piece (KIP-630).
//!
//! The pieces go to a file of their own beside the snapshots, which gets its name once it is whole, checked and durable.

use std::pin::Pin;
use std::sync::Arc;

use klamm_config::endpoint::HostPort;
use klamm_log::disk::{self, File};
use klamm_metadata::snapshot::{Snapshot, SnapshotId};
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::FetchSnapshotResponse;
use klamm_quorum::ReplicaKey;
use klamm_quorum::wire::{SnapshotPiece, SnapshotRequest};

use super::metadata_log::{MetadataLog, MetadataLogError};
use super::outbound::{Outbound, PeerAnswer};
use crate::environment::ExecutorStopped;
use crate::limits::SNAPSHOT_BYTES_MAX;
use crate::peers::PeerError;

/// A snapshot on its way.
pub(super) struct Download {
    pub(super) id: SnapshotId,
    /// The leader.
    pub(super) from: i32,
    /// The epoch it leads.
    pub(super) epoch: i32,
    pub(super) loading: Pin<Box<dyn Future<Output = Result<Snapshot, DownloadError>>>>,
}

/// Why a snapshot could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    #[error("it is not known where the leader listens")]
    NoAddress,
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("the leader answers {0}")]
    Refused(ErrorCode),
    #[error("the leader sends another piece than the one at {position}")]
    OtherPiece { position: i64 },
    #[error("it has {size} bytes, more than the most that are loaded, {SNAPSHOT_BYTES_MAX}")]
    TooLarge { size: i64 },
    #[error(transparent)]
    Log(#[from] MetadataLogError),
    #[error("its file cannot be written: {0}")]
    Write(std::io::Error),
    #[error(transparent)]
    Stopped(#[from] ExecutorStopped),
}

/// What to load, and from whom.
pub(super) struct Source {
    pub(super) id: SnapshotId,
    pub(super) from: i32,
    pub(super) epoch: i32,
    pub(super) address: Option<HostPort>,
    /// This node, which loads it.
    pub(super) replica: ReplicaKey,
    /// `controller.quorum.fetch.snapshot.max.bytes`.
    pub(super) piece_bytes_max: i32,
}

impl Download {
    pub(super) fn start(outbound: &Outbound, log: Arc<MetadataLog>, source: Source) -> Self {
        let Source { id, from, epoch, .. } = source;
        let loader = Loader {
            environment: outbound.environment().clone(),
            peers: outbound.peers().clone(),
            cluster_id: outbound.config().cluster_id.clone(),
            timeout: outbound.config().request_timeout,
            answers: outbound.answers(),
            log,
            source,
        };
        Self { id, from, epoch, loading: Box::pin(loader.load()) }
    }
}

struct Loader {
    environment: crate::environment::Environment,
    peers: Arc<crate::peers::Peers>,
    cluster_id: String,
    timeout: std::time::Duration,
    answers: tokio::sync::mpsc::UnboundedSender<PeerAnswer>,
    log: Arc<MetadataLog>,
    source: Source,
}

impl Loader {
    async fn load(self) -> Result<Snapshot, DownloadError> {
        let (log, id) = (self.log.clone(), self.source.id);
        let file = self.environment.blocking(move || log.begin_snapshot(id)).await??;
        let file: Arc<dyn File> = Arc::from(file);
        let mut position = 0;
        loop {
            let (piece, bytes) = self.piece(position).await?;
            position += piece.length as i64;
            let (to, at) = (file.clone(), piece.position as u64);
            let write = move || disk::write_all_at(&*to, &mut [std::io::IoSlice::new(&bytes)], at);
            self.environment.blocking(write).await?.map_err(DownloadError::Write)?;
            // The loop, which holds the other end, may be gone.
            let _ = self.answers.send(PeerAnswer::snapshot_progress(self.source.from));
            if position >= piece.size {
                break;
            }
        }
        let log = self.log.clone();
        Ok(self.environment.blocking(move || log.check_snapshot(id, &*file)).await??)
    }

    async fn piece(&self, position: i64) -> Result<(SnapshotPiece, Vec<u8>), DownloadError> {
        let Source { id, epoch, replica, piece_bytes_max, .. } = self.source;
        let HostPort { host, port } = self.source.address.as_ref().ok_or(DownloadError::NoAddress)?;
        let request = SnapshotRequest { replica, epoch, id, position, max_bytes: piece_bytes_max };
        let request = request.to_wire(&self.cluster_id);
        let response: FetchSnapshotResponse<'static> =
            self.peers.call(host, *port, &request, self.timeout).await?;
        let (piece, bytes) = SnapshotPiece::from_wire(response).map_err(DownloadError::Refused)?;
        piece.info.error.check().map_err(DownloadError::Refused)?;
        if piece.id != id || piece.position != position || bytes.is_empty() {
            return Err(DownloadError::OtherPiece { position });
        }
        if piece.size > SNAPSHOT_BYTES_MAX as i64 {
            return Err(DownloadError::TooLarge { size: piece.size });
        }
        Ok((piece, bytes))
    }
}
