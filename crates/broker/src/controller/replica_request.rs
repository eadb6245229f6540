//! What other replicas of the metadata log ask this one, and what tools ask its leader.

use std::sync::Arc;

use klamm_config::endpoint::HostPort;
use klamm_protocol::ErrorCode;
use klamm_quorum::message::{
    BeginEpochRequest, EndEpochRequest, EpochInfo, FetchReply, FetchRequest, NodeAddress, VoteRequest,
    VoteResponse,
};
use klamm_quorum::wire::SnapshotRequest;
use klamm_quorum::{ReplicaKey, VoterChangeError, VoterEndpoint, VoterNode};
use tokio::sync::oneshot;

use super::driver::{Driver, DriverError};
use super::metadata_log::MetadataLog;

/// One request, and where its answer goes.
pub(crate) enum ReplicaRequest {
    Vote(VoteRequest, Reply<VoteResponse>),
    /// With where the leader says that it listens.
    BeginEpoch(BeginEpochRequest, Option<NodeAddress>, Reply<EpochInfo>),
    EndEpoch(EndEpochRequest, Reply<EpochInfo>),
    Fetch(FetchRequest, Reply<FetchReply>),
    /// Whether this node may answer it.
    FetchSnapshot(SnapshotRequest, Reply<EpochInfo>),
    /// Whether a voter with this id may be added now.
    CheckAddition(i32, Reply<Result<(), VoterChangeError>>),
    /// The flag says whether the answer waits until the change is committed.
    AddVoter(VoterNode, bool, Reply<Result<(), VoterChangeError>>),
    RemoveVoter(ReplicaKey, Reply<Result<(), VoterChangeError>>),
    /// With the epoch that the voter is in.
    UpdateVoter(VoterNode, i32, Reply<EpochInfo>),
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Told<T>>;

/// An answer, with what goes into every response.
pub(crate) struct Told<T> {
    pub(crate) answer: T,
    /// Where the leader listens, if that is known.
    pub(crate) leader: Option<NodeAddress>,
    /// The log that the answer is about.
    pub(crate) log: Arc<MetadataLog>,
}

impl Driver {
    /// Answers a request. Whoever asked may be gone by then.
    pub(super) async fn serve(&mut self, request: ReplicaRequest) -> Result<(), DriverError> {
        let now_ms = self.now_ms();
        let quorum = &mut self.parts.quorum;
        match request {
            ReplicaRequest::Vote(request, reply) => {
                let (answer, outputs) = quorum.handle_vote(now_ms, &request);
                self.carry_out(outputs).await?;
                self.tell(reply, answer);
            }
            ReplicaRequest::BeginEpoch(request, address, reply) => {
                let (answer, outputs) = quorum.handle_begin_epoch(now_ms, &request);
                if let Some(address) = address.filter(|_| answer.error == ErrorCode::NONE) {
                    self.outbound.learn(address);
                }
                self.carry_out(outputs).await?;
                self.tell(reply, answer);
            }
            ReplicaRequest::EndEpoch(request, reply) => {
                let (answer, outputs) = quorum.handle_end_epoch(now_ms, &request);
                self.carry_out(outputs).await?;
                self.tell(reply, answer);
            }
            ReplicaRequest::Fetch(request, reply) => {
                let (answer, outputs) = quorum.handle_fetch(now_ms, &request);
                self.carry_out(outputs).await?;
                self.tell(reply, answer);
            }
            ReplicaRequest::FetchSnapshot(request, reply) => {
                let allowed = quorum.handle_fetch_snapshot(now_ms, request.replica, request.epoch);
                let answer = self.epoch_info(allowed.err().unwrap_or(ErrorCode::NONE));
                self.tell(reply, answer);
            }
            ReplicaRequest::CheckAddition(id, reply) => {
                let answer = quorum.check_addition(id);
                self.tell(reply, answer);
            }
            ReplicaRequest::AddVoter(voter, waits, reply) => {
                let changed = quorum.add_voter(now_ms, voter);
                self.change_voters(changed, waits, reply).await?;
            }
            ReplicaRequest::RemoveVoter(key, reply) => {
                let changed = quorum.remove_voter(now_ms, key);
                self.change_voters(changed, true, reply).await?;
            }
            ReplicaRequest::UpdateVoter(voter, epoch, reply) => {
                let error = self.update_voter(voter, epoch).await?;
                let answer = self.epoch_info(error);
                self.tell(reply, answer);
            }
        }
        Ok(())
    }

    fn tell<T>(&self, reply: Reply<T>, answer: T) {
        let _ = reply.send(self.told(answer));
    }

    fn told<T>(&self, answer: T) -> Told<T> {
        Told { answer, leader: self.leader_address(), log: self.parts.log.clone() }
    }

    fn leader_address(&self) -> Option<NodeAddress> {
        let quorum = &self.parts.quorum;
        let (id, local) = (quorum.leader_id()?, quorum.local());
        if id == local.key.id {
            // A leader that has been removed from the voters leads until that is committed.
            let VoterEndpoint { host, port, .. } = local.endpoints.first()?.clone();
            return Some(NodeAddress { id, host, port });
        }
        let HostPort { host, port } = self.outbound.address(id, quorum.current_voters())?;
        Some(NodeAddress { id, host, port })
    }

    fn epoch_info(&self, error: ErrorCode) -> EpochInfo {
        let quorum = &self.parts.quorum;
        EpochInfo { error, epoch: quorum.epoch(), leader_id: quorum.leader_id() }
    }

    /// Carries a change out, and answers once it is committed, or at once if nobody waits for that.
    async fn change_voters(
        &mut self,
        changed: Result<(i64, Vec<klamm_quorum::Output>), VoterChangeError>,
        waits: bool,
        reply: Reply<Result<(), VoterChangeError>>,
    ) -> Result<(), DriverError> {
        match changed {
            Err(error) => self.tell(reply, Err(error)),
            Ok((end_offset, outputs)) => {
                self.carry_out(outputs).await?;
                let told = self.told(Ok(()));
                let answer = move || drop(reply.send(told));
                match waits {
                    true => self.answer_at(end_offset, Box::new(answer)),
                    false => answer(),
                }
            }
        }
        Ok(())
    }

    async fn update_voter(&mut self, voter: VoterNode, epoch: i32) -> Result<ErrorCode, DriverError> {
        let now_ms = self.now_ms();
        let quorum = &mut self.parts.quorum;
        if let Err(error) = quorum.check_leads(epoch) {
            return Ok(error);
        }
        match quorum.update_voter(now_ms, voter) {
            Ok((_, outputs)) => {
                self.carry_out(outputs).await?;
                Ok(ErrorCode::NONE)
            }
            Err(error) => Ok(error.error_code()),
        }
    }
}
