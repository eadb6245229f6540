//! Following: finding the leader, fetching from it, and hearing from it.

use klamm_metadata::snapshot::SnapshotId;
use klamm_protocol::ErrorCode;

use crate::log_state::OffsetAndEpoch;
use crate::message::{
    BeginEpochRequest, EndEpochRequest, EpochInfo, FetchRequest, Fetched, FetchedBatch, FetchedContents,
    Request,
};
use crate::output::Output;
use crate::quorum::{Link, Quorum};
use crate::role::Role;
use crate::voters::VoterSet;

impl Quorum {
    /// Hears who leads.
    pub fn handle_begin_epoch(
        &mut self,
        now_ms: i64,
        request: &BeginEpochRequest,
    ) -> (EpochInfo, Vec<Output>) {
        let mut outputs = Vec::new();
        let error = self.check_epoch_request(now_ms, request.epoch, request.leader_id, &mut outputs);
        let is_meant = request.voter.id < 0 || request.voter.matches(self.config.local.key);
        let error = match error {
            ErrorCode::NONE if !is_meant => ErrorCode::INVALID_VOTER_KEY,
            error => error,
        };
        self.send_due(now_ms, &mut outputs);
        (self.info(error), outputs)
    }

    /// Hears that the leader steps down: stands for election the sooner, the earlier it is named.
    pub fn handle_end_epoch(&mut self, now_ms: i64, request: &EndEpochRequest) -> (EpochInfo, Vec<Output>) {
        let mut outputs = Vec::new();
        let error = self.check_epoch_request(now_ms, request.epoch, request.leader_id, &mut outputs);
        let local = self.config.local.key;
        let candidates = &request.preferred_candidates;
        let position =
            candidates.iter().position(|candidate| candidate.matches(local)).unwrap_or(candidates.len());
        let backoff_ms = self.succession_backoff(position, candidates.len());
        if let (Role::Follower(follower), ErrorCode::NONE) = (&mut self.role, error)
            && follower.leader_id == request.leader_id
        {
            follower.fetch_deadline_ms = now_ms + backoff_ms;
        }
        self.send_due(now_ms, &mut outputs);
        (self.info(error), outputs)
    }

    fn check_epoch_request(
        &mut self,
        now_ms: i64,
        epoch: i32,
        leader_id: i32,
        outputs: &mut Vec<Output>,
    ) -> ErrorCode {
        if leader_id < 0 {
            return ErrorCode::INVALID_REQUEST;
        }
        if epoch < self.epoch {
            return ErrorCode::FENCED_LEADER_EPOCH;
        }
        match self.learn(now_ms, epoch, Some(leader_id), outputs) {
            true => ErrorCode::NONE,
            false => ErrorCode::INVALID_REQUEST,
        }
    }

    /// The first successor stands at once; the waits of the others double up to the longest.
    fn succession_backoff(&self, position: usize, count: usize) -> i64 {
        let max_ms = self.config.election_backoff_ms_max;
        match position {
            0 if count > 0 => 0,
            position if position >= count => max_ms,
            position => {
                let base_ms = max_ms >> (count - 1).min(62);
                max_ms.min(base_ms << (position - 1).min(62))
            }
        }
    }

    /// Fetches from the leader; from any voter, to learn who leads, while there is none or it does not answer.
    pub(crate) fn send_fetch(&mut self, now_ms: i64, outputs: &mut Vec<Output>) {
        if self.log.flushed_offset < self.log.end_offset
            || self.links.values().any(|link| matches!(link, Link::Waiting(_)))
        {
            return;
        }
        let target = match &self.role {
            Role::Follower(follower) if follower.is_loading_snapshot => None,
            Role::Follower(follower) if self.is_free(follower.leader_id) => Some(follower.leader_id),
            _ => self.any_free_node(),
        };
        let Some(to) = target else { return };
        let OffsetAndEpoch { offset, epoch } = self.log.end();
        let request = FetchRequest {
            replica: self.config.local.key,
            epoch: self.epoch,
            offset,
            last_fetched_epoch: epoch,
            high_watermark: self.high_watermark,
        };
        self.send(now_ms, to, Request::Fetch(request), outputs);
    }

    fn any_free_node(&mut self) -> Option<i32> {
        let known = self.config.bootstrap_ids.iter().copied().chain(self.other_voters());
        let free: Vec<_> = known.filter(|&id| self.is_free(id)).collect();
        if free.is_empty() {
            return None;
        }
        let index = self.next_random() % free.len() as u64;
        free.get(index as usize).copied()
    }

    /// Takes the answer to a Fetch. Batches that do not continue the log, or come from a later epoch, are dropped: the driver appends only
    /// what [`Output::AppendFetched`] names.
    pub fn handle_fetch_response(&mut self, now_ms: i64, from: i32, response: &Fetched) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.answered(from);
        let is_stale = response.info.epoch < self.epoch;
        if !is_stale && self.learn(now_ms, response.info.epoch, response.info.leader_id, &mut outputs) {
            let follows_sender = matches!(&self.role, Role::Follower(follower) if follower.leader_id == from);
            match response.info.error {
                ErrorCode::NONE if follows_sender => self.take_fetched(now_ms, from, response, &mut outputs),
                ErrorCode::FENCED_LEADER_EPOCH | ErrorCode::NOT_LEADER_OR_FOLLOWER if follows_sender => {}
                _ => _ = self.links.insert(from, Link::BackingOff(now_ms + self.config.retry_backoff_ms)),
            }
        }
        self.send_due(now_ms, &mut outputs);
        outputs
    }

    fn take_fetched(&mut self, now_ms: i64, from: i32, response: &Fetched, outputs: &mut Vec<Output>) {
        if let Role::Follower(follower) = &mut self.role {
            follower.fetch_deadline_ms = now_ms + self.config.fetch_timeout_ms;
            follower.has_fetched = true;
            follower.is_loading_snapshot = matches!(response.contents, FetchedContents::Snapshot(_));
        }
        match &response.contents {
            FetchedContents::Batches(batches) => {
                self.take_batches(batches, outputs);
                // The leader may have committed more than is here. Only now is it known that this log is the beginning of the leader's.
                self.raise_high_watermark(response.high_watermark.min(self.log.end_offset), outputs);
            }
            FetchedContents::Diverging(end) => self.truncate_to(*end, outputs),
            FetchedContents::Snapshot(id) => outputs.push(Output::FetchSnapshot { from, id: *id }),
        }
    }

    fn take_batches(&mut self, batches: &[FetchedBatch], outputs: &mut Vec<Output>) {
        let base_offset = self.log.end_offset;
        for batch in batches {
            let continues = batch.base_offset == self.log.end_offset && batch.end_offset > batch.base_offset;
            if !continues || batch.epoch > self.epoch || batch.epoch < self.log.last_epoch() {
                break;
            }
            self.log.append(batch.epoch, batch.end_offset - batch.base_offset);
        }
        let end_offset = self.log.end_offset;
        if end_offset > base_offset {
            outputs.push(Output::AppendFetched { base_offset, end_offset });
        }
    }

    /// Cuts what the leader does not have: never what is committed, which no leader lacks.
    fn truncate_to(&mut self, leader_end: OffsetAndEpoch, outputs: &mut Vec<Output>) {
        // Epoch 0 says that the leader knows of none before, and nothing about where this log's epochs end.
        let own_end = match leader_end.epoch {
            0 => self.log.end_offset,
            epoch => self.log.end_of_epoch(epoch).offset,
        };
        let end_offset = own_end.min(leader_end.offset);
        if end_offset < self.high_watermark {
            let high_watermark = self.high_watermark;
            return outputs.push(Output::CommittedIsMissing { leader_end, high_watermark });
        }
        if end_offset >= self.log.end_offset {
            return;
        }
        self.log.truncate(end_offset);
        self.restore_kraft_version(end_offset);
        let kept = self.voters.partition_point(|(offset, _)| *offset < end_offset).max(1);
        self.voters.truncate(kept);
        outputs.push(Output::Truncate { end_offset });
    }

    /// A snapshot is being loaded and bytes of it came: the leader lives.
    pub fn on_snapshot_progress(&mut self, now_ms: i64) {
        if let Role::Follower(follower) = &mut self.role {
            follower.fetch_deadline_ms = now_ms + self.config.fetch_timeout_ms;
        }
    }

    /// A snapshot was loaded: the log is empty and goes on where it ends. Its level of `kraft.version` and voters are in force.
    pub fn on_snapshot_loaded(
        &mut self,
        now_ms: i64,
        id: SnapshotId,
        kraft_version: i16,
        voters: Option<VoterSet>,
    ) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.log.replace_by(id);
        (self.kraft_version, self.older_kraft_version) = (kraft_version, None);
        if let Some(voters) = voters {
            self.voters = vec![(id.end_offset - 1, voters)];
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.is_loading_snapshot = false;
        }
        self.raise_high_watermark(id.end_offset, &mut outputs);
        self.send_due(now_ms, &mut outputs);
        outputs
    }
}
