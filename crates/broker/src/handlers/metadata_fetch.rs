//! Fetch v13–18 of `__cluster_metadata`, on the controller listener: how voters and observers replicate the metadata log.
//!
//! A request that finds nothing new is held back until the log has grown, more of it is committed than the asking replica knows, or the lead
//! has changed; at most as long as the request says. Records go from the log's file to the socket.

use std::sync::Arc;
use std::time::Duration;

use klamm_net::FileSlice;
use klamm_protocol::messages::{FetchRequest as WireRequest, FetchResponse as WireResponse};
use klamm_protocol::{ErrorCode, Reader, Records};
use klamm_quorum::message::{FetchAnswer, FetchReply, FetchRequest};
use klamm_quorum::wire::check_cluster_id;
use tokio::time::{Instant, timeout_at};

use super::fetch::warm;
use crate::broker::Broker;
use crate::controller::{MetadataLog, ReplicaRequest, ReplicaStatus, Told};
use crate::partition::LogFile;
use crate::request::{Fault, HandlerResult, Outcome, RequestContext, Responder, Response};

/// Before this version requests do not name topics by id, and the metadata log is not served.
const TOPIC_IDS_SINCE: i16 = 13;

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: WireRequest<'_> = context.decode(&mut body)?;
    let fetch = match checked(context, &request) {
        Ok(fetch) => fetch,
        Err(error_code) => return context.respond(&WireResponse { error_code, ..WireResponse::default() }),
    };
    let fetch = MetadataFetch {
        broker: context.broker.clone(),
        responder: context.responder(),
        fetch,
        bytes_max: request.max_bytes.max(0) as usize,
        deadline: Instant::now() + Duration::from_millis(request.max_wait_ms.max(0) as u64),
    };
    Ok(Outcome::Later(Box::pin(fetch.run())))
}

fn checked(context: &RequestContext<'_>, request: &WireRequest<'_>) -> Result<FetchRequest, ErrorCode> {
    check_cluster_id(request.cluster_id.as_deref(), context.broker.cluster_id())?;
    if context.version < TOPIC_IDS_SINCE || request.max_wait_ms < 0 {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    FetchRequest::from_wire(request)
}

struct MetadataFetch {
    broker: Arc<Broker>,
    responder: Responder,
    fetch: FetchRequest,
    bytes_max: usize,
    deadline: Instant,
}

impl MetadataFetch {
    async fn run(self) -> Result<Response, Fault> {
        let mut status = self.broker.controller().replica_status();
        loop {
            let fetch = self.fetch.clone();
            let asked =
                self.broker.controller().ask_replica(|reply| ReplicaRequest::Fetch(fetch, reply)).await;
            let told = asked.map_err(|_| Fault::Stopping)?;
            if self.is_complete(&told.answer) || Instant::now() >= self.deadline {
                return self.respond(told).await;
            }
            let epoch = told.answer.info.epoch;
            let is_news = |status: &ReplicaStatus| self.is_news(status, epoch);
            let _ = timeout_at(self.deadline, status.wait_for(is_news)).await;
        }
    }

    fn is_complete(&self, reply: &FetchReply) -> bool {
        match reply.answer {
            FetchAnswer::Records { end_offset } => {
                end_offset > self.fetch.offset || reply.high_watermark > self.fetch.high_watermark
            }
            FetchAnswer::Diverging(_) | FetchAnswer::Snapshot(_) | FetchAnswer::Refused => true,
        }
    }

    /// Whether the answer would be another than nothing, in the epoch it was given in.
    fn is_news(&self, status: &ReplicaStatus, epoch: i32) -> bool {
        status.end_offset > self.fetch.offset
            || status.leader_high_watermark > self.fetch.high_watermark
            || status.epoch != epoch
            || !status.is_leader()
    }

    async fn respond(self, told: Told<FetchReply>) -> Result<Response, Fault> {
        let Told { answer: reply, leader, log } = told;
        let mut response = reply.to_wire(log.log().log_start_offset(), leader.as_ref());
        let mut slices = Vec::new();
        let partition = response.responses.first_mut().and_then(|topic| topic.partitions.first_mut());
        if let (FetchAnswer::Records { end_offset }, Some(partition)) = (reply.answer, partition) {
            match self.read(&log, end_offset) {
                Ok(slice) => slices.extend(slice),
                Err(error_code) => partition.error_code = error_code,
            }
            partition.records = Some(Records::External(slices.iter().map(|slice| slice.length).sum()));
        }
        let cold = slices.iter().filter(|slice| !slice.is_cached()).cloned().collect();
        warm(&self.broker, cold).await?;
        self.responder.encode_with_slices(&response, slices)
    }

    fn read(&self, log: &MetadataLog, end_offset: i64) -> Result<Option<FileSlice>, ErrorCode> {
        let slice = log.log().read(self.fetch.offset, end_offset, self.bytes_max, true, None);
        let slice = slice.map_err(|error| {
            tracing::error!("the metadata log cannot be read for another node: {error}");
            ErrorCode::UNKNOWN_SERVER_ERROR
        })?;
        Ok(slice.data.map(|data| FileSlice {
            source: Arc::new(LogFile(data.file)),
            position: data.position,
            length: data.length,
        }))
    }
}
