//! FetchSnapshot v0–1, on the controller listener: a piece of a metadata snapshot (KIP-630), from its file to the socket.
//!
//! The snapshot that formatting wrote is not given out: its records are in the log of the first leader.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use klamm_log::disk::File;
use klamm_metadata::snapshot::SnapshotId;
use klamm_net::{FileSlice, FileSource};
use klamm_protocol::messages::{FetchSnapshotRequest, FetchSnapshotResponse};
use klamm_protocol::{ErrorCode, Reader};
use klamm_quorum::message::EpochInfo;
use klamm_quorum::wire::{SnapshotPiece, SnapshotRequest, check_cluster_id};

use super::fetch::warm;
use crate::broker::Broker;
use crate::controller::{MetadataLog, ReplicaRequest, SnapshotFile, Told};
use crate::request::{Fault, HandlerResult, Outcome, RequestContext, Responder, Response};

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: FetchSnapshotRequest<'_> = context.decode(&mut body)?;
    let checked = check_cluster_id(request.cluster_id.as_deref(), context.broker.cluster_id())
        .and_then(|()| SnapshotRequest::from_wire(&request));
    let wanted = match checked {
        Ok(wanted) => wanted,
        Err(error_code) => {
            return context.respond(&FetchSnapshotResponse { error_code, ..Default::default() });
        }
    };
    Ok(Outcome::Later(Box::pin(run(context.broker.clone(), context.responder(), wanted))))
}

async fn run(broker: Arc<Broker>, responder: Responder, wanted: SnapshotRequest) -> Result<Response, Fault> {
    let asked = broker.controller().ask_replica(|reply| ReplicaRequest::FetchSnapshot(wanted, reply)).await;
    let Told { answer: info, leader, log } = asked.map_err(|_| Fault::Stopping)?;
    let found = match info.error {
        ErrorCode::NONE => {
            let opened = broker.environment().blocking(move || find(&log, &wanted)).await;
            opened.map_err(|_| Fault::Stopping)?
        }
        error => Err(error),
    };
    let (piece, slices) = match found {
        Ok((size, slice)) => {
            let (id, position, length) = (wanted.id, wanted.position, slice.length);
            let slices = Some(slice).filter(|slice| slice.length > 0).into_iter().collect();
            (SnapshotPiece { info, id, size, position, length }, slices)
        }
        Err(error) => (SnapshotPiece::refused(EpochInfo { error, ..info }, wanted.id), Vec::new()),
    };
    let cold = slices.iter().filter(|slice| !slice.is_cached()).cloned().collect();
    warm(&broker, cold).await?;
    responder.encode_with_slices(&piece.to_wire(leader.as_ref()), slices)
}

/// The size of the snapshot's file, and the piece of it that is wanted.
fn find(log: &MetadataLog, wanted: &SnapshotRequest) -> Result<(i64, FileSlice), ErrorCode> {
    let opened = match wanted.id {
        SnapshotId::BOOTSTRAP => None,
        id => log.open_snapshot(id).map_err(|error| {
            tracing::error!("a metadata snapshot cannot be read for another node: {error}");
            ErrorCode::UNKNOWN_SERVER_ERROR
        })?,
    };
    let SnapshotFile { file, size } = opened.ok_or(ErrorCode::SNAPSHOT_NOT_FOUND)?;
    let position = u64::try_from(wanted.position).map_err(|_| ErrorCode::POSITION_OUT_OF_RANGE)?;
    let left = size.checked_sub(position).filter(|left| *left > 0).ok_or(ErrorCode::POSITION_OUT_OF_RANGE)?;
    let length = left.min(wanted.max_bytes.max(0) as u64) as usize;
    Ok((size as i64, FileSlice { source: Arc::new(SentFile(file)), position, length }))
}

/// A snapshot's file that answers are sent from.
struct SentFile(Box<dyn File>);

impl FileSource for SentFile {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.descriptor()
    }

    fn is_cached(&self, position: u64, length: usize) -> bool {
        self.0.is_cached(position, length)
    }

    fn prefetch(&self, position: u64, length: usize) {
        self.0.prefetch(position, length);
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }
}
