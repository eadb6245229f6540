//! Elections: who may be voted for, and how votes are gathered.

use klamm_protocol::ErrorCode;

use crate::message::{Request, VoteRequest, VoteResponse};
use crate::output::Output;
use crate::quorum::Quorum;
use crate::role::{Role, Votes};

impl Quorum {
    /// Answers a request for a vote. The answer must not leave before the outputs are done: a vote is given for good.
    pub fn handle_vote(&mut self, now_ms: i64, request: &VoteRequest) -> (VoteResponse, Vec<Output>) {
        let mut outputs = Vec::new();
        let result = self.try_vote(now_ms, request, &mut outputs);
        let error = result.err().unwrap_or(ErrorCode::NONE);
        let response = VoteResponse { info: self.info(error), granted: result == Ok(true) };
        self.send_due(now_ms, &mut outputs);
        (response, outputs)
    }

    fn try_vote(
        &mut self,
        now_ms: i64,
        request: &VoteRequest,
        outputs: &mut Vec<Output>,
    ) -> Result<bool, ErrorCode> {
        let VoteRequest { candidate, epoch, log_end, pre_vote, .. } = *request;
        // A candidate raised its epoch above all it has in its log; one that only asks did not.
        let is_epoch_possible = if pre_vote { log_end.epoch <= epoch } else { log_end.epoch < epoch };
        if log_end.offset < 0 || log_end.epoch < 0 || candidate.id < 0 || !is_epoch_possible {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if epoch < self.epoch {
            return Err(ErrorCode::FENCED_LEADER_EPOCH);
        }
        if epoch > self.epoch {
            self.become_unattached(now_ms, epoch, None, outputs);
        }
        if request.voter.id >= 0 && !request.voter.matches(self.config.local.key) {
            return Err(ErrorCode::INVALID_VOTER_KEY);
        }
        let granted = self.would_vote(request);
        if granted && !pre_vote {
            if let Role::Unattached { voted, .. } | Role::Prospective { voted, .. } = &mut self.role {
                *voted = Some(candidate);
            }
            self.settle(outputs);
        }
        Ok(granted)
    }

    /// Whether this replica gives its vote, in the request's epoch.
    fn would_vote(&self, request: &VoteRequest) -> bool {
        let is_up_to_date = request.log_end >= self.log.end();
        if request.pre_vote {
            let follows_a_live_leader = match &self.role {
                Role::Follower(follower) => follower.has_fetched,
                Role::Leader(leader) => leader.high_watermark.is_some(),
                _ => false,
            };
            return is_up_to_date && !follows_a_live_leader;
        }
        match (&self.role, self.voted()) {
            (Role::Candidate { .. } | Role::Leader(_) | Role::Resigned { .. }, _) => false,
            (_, Some(voted)) => voted.matches(request.candidate),
            (Role::Follower(_), None) => false,
            (_, None) => self.leader_id().is_none() && is_up_to_date,
        }
    }

    /// Takes the answer to a Vote.
    pub fn handle_vote_response(&mut self, now_ms: i64, from: i32, response: &VoteResponse) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.answered(from);
        let is_stale = response.info.epoch < self.epoch;
        if !is_stale && self.learn(now_ms, response.info.epoch, response.info.leader_id, &mut outputs) {
            match response.info.error {
                ErrorCode::NONE => self.count_vote(now_ms, from, response.granted, &mut outputs),
                _ => outputs.extend(self.on_request_failed(now_ms, from)),
            }
        }
        self.send_due(now_ms, &mut outputs);
        outputs
    }

    fn count_vote(&mut self, now_ms: i64, from: i32, granted: bool, outputs: &mut Vec<Output>) {
        let voters = self.current_voters().clone();
        let Some(votes) = self.votes_mut() else { return };
        votes.answers.insert(from, granted);
        let agreed = votes.granted().filter(|&id| voters.get(id).is_some()).count();
        let may_still_win = voters.len() - votes.rejected_count().min(voters.len()) >= voters.majority();
        if agreed >= voters.majority() {
            match self.role {
                Role::Candidate { .. } => self.become_leader(now_ms, outputs),
                _ => self.become_candidate(now_ms, outputs),
            }
        } else if !may_still_win && matches!(self.role, Role::Prospective { .. }) {
            self.lose_pre_vote(now_ms, outputs);
        }
    }

    /// A lost candidate waits for the rest of its timeout instead, lest it disturbs the one that wins.
    pub(crate) fn lose_pre_vote(&mut self, now_ms: i64, outputs: &mut Vec<Output>) {
        match self.leader_id() {
            Some(leader) => self.become_follower(now_ms, self.epoch, leader, outputs),
            None => self.become_unattached(now_ms, self.epoch, None, outputs),
        }
    }

    pub(crate) fn become_prospective(&mut self, now_ms: i64, outputs: &mut Vec<Output>) {
        let (leader_id, voted) = match self.role {
            // A candidate voted for itself, but in an epoch without leader: it may ask again.
            Role::Candidate { .. } => (None, Some(self.config.local.key)),
            _ => (self.leader_id(), self.voted()),
        };
        let election_deadline_ms = now_ms + self.election_timeout();
        let votes = self.own_vote();
        self.enter(self.epoch, Role::Prospective { leader_id, voted, votes, election_deadline_ms }, outputs);
        if self.is_only_voter() {
            self.become_candidate(now_ms, outputs);
        }
    }

    pub(crate) fn become_candidate(&mut self, now_ms: i64, outputs: &mut Vec<Output>) {
        let election_deadline_ms = now_ms + self.election_timeout();
        let votes = self.own_vote();
        self.enter(self.epoch + 1, Role::Candidate { votes, election_deadline_ms }, outputs);
        if self.is_only_voter() {
            self.become_leader(now_ms, outputs);
        }
    }

    fn own_vote(&self) -> Votes {
        Votes { answers: [(self.config.local.key.id, true)].into() }
    }

    fn votes_mut(&mut self) -> Option<&mut Votes> {
        match &mut self.role {
            Role::Prospective { votes, .. } | Role::Candidate { votes, .. } => Some(votes),
            _ => None,
        }
    }

    /// Asks the voters that have not answered yet.
    pub(crate) fn send_votes(&mut self, now_ms: i64, outputs: &mut Vec<Output>) {
        let pre_vote = matches!(self.role, Role::Prospective { .. });
        let answered: Vec<_> =
            self.votes_mut().iter().flat_map(|votes| votes.answers.keys().copied()).collect();
        for id in self.other_voters() {
            if answered.contains(&id) || !self.is_free(id) {
                continue;
            }
            let Some(voter) = self.current_voters().get(id).map(|voter| voter.key) else { continue };
            let request = VoteRequest {
                voter,
                candidate: self.config.local.key,
                epoch: self.epoch,
                log_end: self.log.end(),
                pre_vote,
            };
            self.send(now_ms, id, Request::Vote(request), outputs);
        }
    }
}
