//! Records waiting to be sent, and every decision about them: sans-IO.
//!
//! `append` puts a record into its partition's open batch. `drain` hands out, for each node that can take a
//! request, at most one batch of each partition it leads. `settle` takes a batch back with what the broker said and
//! decides: done, once more, or given up.
//!
//! Invariants:
//! - A partition's batches are handed out in the order of their ordinals; a batch to be retried goes in front again.
//! - With idempotence a retry is handed out only while nothing else of its partition is in flight.
//! - A batch that was handed out keeps its sequence until the broker has said that it is not in the log.
//! - `buffered_bytes` is the sum over all batches that are not settled, and never above `buffer.memory` but for a
//!   single batch.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use klamm_protocol::ErrorCode;
use klamm_records::NewRecord;

use super::batch::Batch;
use super::delivery::{BatchAck, Delivery, DeliveryError};
use super::partitioner::{StickyPartition, partition_for_key};
use super::sequence::{ProducerIdentity, Sequences};

/// What the accumulator needs to know of the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) batch_size: usize,
    pub(crate) linger_ms: i64,
    pub(crate) buffer_memory: usize,
    pub(crate) max_request_size: usize,
    pub(crate) delivery_timeout_ms: i64,
    pub(crate) retries: u32,
    pub(crate) retry_backoff_ms: i64,
    pub(crate) retry_backoff_max_ms: i64,
    /// Batches of one partition that may be in flight.
    pub(crate) partition_in_flight_max: usize,
    pub(crate) idempotent: bool,
    pub(crate) ignore_keys: bool,
}

/// A record that found no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppendError {
    /// The topic's partitions are not known yet.
    UnknownTopic,
    /// The topic has fewer partitions.
    NoSuchPartition { count: i32 },
    /// The record can never be sent.
    TooLarge { size: usize, max: usize },
    /// `buffer.memory` is used up.
    Full,
}

/// A record that found its place.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) delivery: Delivery,
    /// A batch was begun or filled: the sender has something to reconsider.
    pub(crate) wake_sender: bool,
}

/// What the sender is to do now.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    /// Batches by the node that leads their partitions.
    pub(crate) by_node: BTreeMap<i32, Vec<Batch>>,
    /// When to drain again if nothing else happens.
    pub(crate) next_ms: Option<i64>,
    /// Something is due whose partition has no known leader.
    pub(crate) leader_unknown: bool,
    /// Something is due and no producer identity is at hand.
    pub(crate) needs_identity: bool,
    /// Some batches were given up: there is room again.
    pub(crate) freed: bool,
}

/// What came back for a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Acknowledged(BatchAck),
    Refused {
        code: ErrorCode,
        message: Option<String>,
    },
    /// No answer: the connection was lost, or the request never left.
    Lost {
        reason: String,
    },
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Acknowledged,
    Retried,
    GivenUp,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    /// Indexes into `queues`, by partition.
    queues: Vec<usize>,
    sticky: StickyPartition,
}

#[derive(Debug, Default)]
struct Queue {
    /// Closed batches, those to be retried in front.
    closed: VecDeque<Batch>,
    open: Option<Batch>,
    in_flight: usize,
    sequences: Sequences,
    is_active: bool,
}

#[derive(Debug)]
pub(crate) struct Accumulator {
    limits: Limits,
    topics: HashMap<Arc<str>, Topic>,
    queues: Vec<Queue>,
    /// Queues that hold a batch, in the order in which they take their turn.
    active: VecDeque<usize>,
    incomplete: BTreeSet<u64>,
    next_ordinal: u64,
    /// Batches below this do not wait for `linger.ms`.
    flush_below: u64,
    buffered_bytes: usize,
    waiting_for_room: bool,
    identity: Option<ProducerIdentity>,
    seed: u64,
}

impl Accumulator {
    /// `seed` decides where records without a key begin.
    pub(crate) fn new(limits: Limits, seed: u64) -> Self {
        Self {
            limits,
            topics: HashMap::new(),
            queues: Vec::new(),
            active: VecDeque::new(),
            incomplete: BTreeSet::new(),
            next_ordinal: 0,
            flush_below: 0,
            buffered_bytes: 0,
            waiting_for_room: false,
            identity: None,
            seed,
        }
    }

    /// Tells how many partitions a topic has. A number only grows: a topic cannot lose partitions.
    pub(crate) fn set_partition_count(&mut self, topic: &str, count: i32) {
        if count <= 0 {
            return;
        }
        let seed = self.seed.wrapping_add((self.topics.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let name: Arc<str> = Arc::from(topic);
        let entry = self.topics.entry(Arc::clone(&name)).or_insert_with(|| Topic {
            name,
            queues: Vec::new(),
            sticky: StickyPartition::new(seed, count),
        });
        while entry.queues.len() < count as usize {
            entry.queues.push(self.queues.len());
            self.queues.push(Queue::default());
        }
    }

    /// The identity that partitions number their batches with.
    pub(crate) fn set_identity(&mut self, identity: ProducerIdentity) {
        self.identity = Some(identity);
    }

    /// The topics records were sent to, by name.
    pub(crate) fn topics(&self) -> Vec<Arc<str>> {
        let mut topics: Vec<_> = self.topics.keys().cloned().collect();
        topics.sort_unstable();
        topics
    }

    /// Puts a record into its partition's open batch.
    pub(crate) fn append(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        record: &NewRecord<'_>,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        let bytes = self.check_size(record)?;
        let topic = self.topics.get_mut(topic).ok_or(AppendError::UnknownTopic)?;
        let count = topic.queues.len() as i32;
        let sticky = partition.is_none() && (record.key.is_none() || self.limits.ignore_keys);
        let partition = match (partition, record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) if !sticky => partition_for_key(key, count),
            (None, _) => topic.sticky.current(),
        };
        let index = usize::try_from(partition).ok().and_then(|p| topic.queues.get(p).copied());
        let index = index.ok_or(AppendError::NoSuchPartition { count })?;
        if self.buffered_bytes > 0 && self.buffered_bytes + bytes > self.limits.buffer_memory {
            self.waiting_for_room = true;
            return Err(AppendError::Full);
        }
        if sticky {
            topic.sticky.record(bytes, self.limits.batch_size, count);
        }
        let name = Arc::clone(&topic.name);
        Ok(self.append_to(index, name, partition, record, now_ms))
    }

    fn check_size(&self, record: &NewRecord<'_>) -> Result<usize, AppendError> {
        let headers: usize =
            record.headers.iter().map(|h| h.key.len() + h.value.map_or(0, <[u8]>::len) + 10).sum();
        let content = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers;
        let size = content + RECORD_OVERHEAD_MAX;
        let max = self.limits.max_request_size;
        let in_batch = size + klamm_records::BatchHeader::SIZE;
        if in_batch > max { Err(AppendError::TooLarge { size: in_batch, max }) } else { Ok(size) }
    }

    fn append_to(
        &mut self,
        index: usize,
        topic: Arc<str>,
        partition: i32,
        record: &NewRecord<'_>,
        now_ms: i64,
    ) -> Appended {
        let queue = &mut self.queues[index];
        let mut wake_sender = false;
        if queue.open.as_ref().is_some_and(|open| !open.has_room(record, self.limits.batch_size)) {
            queue.closed.extend(queue.open.take());
            wake_sender = true;
        }
        let batch = queue.open.get_or_insert_with(|| {
            let ordinal = self.next_ordinal;
            self.next_ordinal += 1;
            self.incomplete.insert(ordinal);
            wake_sender = true;
            Batch::new(topic, partition, index, ordinal, now_ms)
        });
        let before = batch.buffered_bytes;
        let delivery = batch.append(record);
        self.buffered_bytes += batch.buffered_bytes - before;
        wake_sender |= batch.buffered_bytes >= self.limits.batch_size;
        if !queue.is_active {
            queue.is_active = true;
            self.active.push_back(index);
        }
        Appended { delivery, wake_sender }
    }

    /// Lets everything appended so far go without waiting for `linger.ms`. Returns the mark for
    /// [`Accumulator::is_flushed`].
    pub(crate) fn begin_flush(&mut self) -> u64 {
        self.flush_below = self.next_ordinal;
        // What follows must not join a batch that counts as flushed.
        for index in &self.active {
            let queue = &mut self.queues[*index];
            queue.closed.extend(queue.open.take());
        }
        self.flush_below
    }

    /// Whether all batches below the mark are settled.
    pub(crate) fn is_flushed(&self, mark: u64) -> bool {
        self.incomplete.first().is_none_or(|first| *first >= mark)
    }

    /// Hands out what is due at `now_ms`. `leader_of` names a partition's leader, `can_take` says whether a node
    /// may be given another request.
    pub(crate) fn drain(
        &mut self,
        now_ms: i64,
        leader_of: impl Fn(&str, i32) -> Option<i32>,
        can_take: impl Fn(i32) -> bool,
    ) -> Drained {
        let mut drained = Drained::default();
        let mut sizes: BTreeMap<i32, usize> = BTreeMap::new();
        let mut served = Vec::new();
        for _ in 0..self.active.len() {
            let Some(index) = self.active.pop_front() else { break };
            self.expire(index, now_ms, &mut drained);
            if let Some(due_ms) = self.due_ms(index) {
                if due_ms > now_ms {
                    drained.next_ms = earliest(drained.next_ms, due_ms);
                } else if self.drain_queue(index, &leader_of, &can_take, &mut sizes, &mut drained) {
                    served.push(index);
                    continue;
                }
            }
            self.requeue(index, &mut drained);
        }
        // Behind those that got nothing, so that each has its turn.
        served.into_iter().for_each(|index| self.requeue(index, &mut drained));
        drained
    }

    /// Keeps a queue that still holds something in turn, and sees that its expiry is not slept through.
    fn requeue(&mut self, index: usize, drained: &mut Drained) {
        let queue = &mut self.queues[index];
        let oldest = queue.closed.front().or(queue.open.as_ref());
        queue.is_active = oldest.is_some();
        if let Some(batch) = oldest {
            drained.next_ms = earliest(drained.next_ms, batch.created_ms + self.limits.delivery_timeout_ms);
            self.active.push_back(index);
        }
    }

    /// When the queue's first batch may go, as far as time is concerned; `None` while something else must happen.
    fn due_ms(&mut self, index: usize) -> Option<i64> {
        let hurry = self.waiting_for_room;
        let (limits, flush_below) = (self.limits, self.flush_below);
        let queue = &mut self.queues[index];
        let first_retry = queue.closed.front().is_some_and(|batch| batch.attempts > 0);
        let alone = first_retry || queue.sequences.is_broken();
        let in_flight_max = if alone && limits.idempotent { 1 } else { limits.partition_in_flight_max };
        if queue.in_flight >= in_flight_max {
            return None;
        }
        if let Some(batch) = queue.closed.front() {
            return Some(batch.retry_at_ms);
        }
        let open = queue.open.as_ref()?;
        let now = hurry || open.ordinal < flush_below || open.buffered_bytes >= limits.batch_size;
        Some(if now { i64::MIN } else { open.created_ms + limits.linger_ms })
    }

    /// Hands out the queue's first batch if its leader can take it. Says whether it did.
    fn drain_queue(
        &mut self,
        index: usize,
        leader_of: &impl Fn(&str, i32) -> Option<i32>,
        can_take: &impl Fn(i32) -> bool,
        sizes: &mut BTreeMap<i32, usize>,
        drained: &mut Drained,
    ) -> bool {
        let queue = &mut self.queues[index];
        let Some(first) = queue.closed.front().or(queue.open.as_ref()) else { return false };
        let Some(node) = leader_of(&first.topic, first.partition) else {
            drained.leader_unknown = true;
            return false;
        };
        let size = sizes.entry(node).or_default();
        let fits = *size == 0 || *size + first.size() <= self.limits.max_request_size;
        if !fits || !can_take(node) {
            return false;
        }
        let first_size = first.size();
        if self.limits.idempotent && !self.number_first(index) {
            drained.needs_identity |= self.identity.is_none();
            return false;
        }
        *size += first_size;
        let queue = &mut self.queues[index];
        let batch = queue.closed.pop_front().or_else(|| queue.open.take());
        let Some(mut batch) = batch else { return false };
        batch.attempts += 1;
        queue.in_flight += 1;
        drained.by_node.entry(node).or_default().push(batch);
        true
    }

    /// Sees to it that the queue's first batch has its sequence. False while it cannot have one.
    fn number_first(&mut self, index: usize) -> bool {
        let queue = &mut self.queues[index];
        let is_first_undecided = queue.closed.front().is_some_and(|batch| batch.sequence.is_some());
        if queue.sequences.is_broken() && queue.in_flight == 0 && !is_first_undecided {
            if queue.sequences.start_over().is_none() {
                self.identity = None;
            }
            // The first is not in the log, so none behind it is.
            queue.closed.iter_mut().for_each(|batch| batch.sequence = None);
        }
        let Some(identity) = self.identity else { return false };
        let Some(first) = queue.closed.front_mut().or(queue.open.as_mut()) else { return false };
        if first.sequence.is_none() {
            first.sequence = queue.sequences.assign(identity, first.count);
        }
        first.sequence.is_some()
    }

    /// Gives up what has waited for longer than the delivery timeout.
    fn expire(&mut self, index: usize, now_ms: i64, drained: &mut Drained) {
        let timeout_ms = self.limits.delivery_timeout_ms;
        let overdue = |batch: &mut Batch| batch.created_ms + timeout_ms <= now_ms;
        loop {
            let queue = &mut self.queues[index];
            let batch = queue.closed.pop_front_if(overdue);
            let none_before = queue.closed.is_empty();
            let batch = batch.or_else(|| if none_before { queue.open.take_if(overdue) } else { None });
            let Some(batch) = batch else { return };
            drained.freed = true;
            self.give_up_timed_out(&batch, now_ms);
        }
    }

    fn give_up_timed_out(&mut self, batch: &Batch, now_ms: i64) {
        let error = DeliveryError::TimedOut {
            topic: Arc::clone(&batch.topic),
            partition: batch.partition,
            after_ms: now_ms - batch.created_ms,
            last: batch.last_failure.clone(),
        };
        self.give_up(batch, error);
    }

    fn give_up(&mut self, batch: &Batch, error: DeliveryError) {
        if let Some(sequence) = batch.sequence {
            self.queues[batch.queue].sequences.given_up(sequence);
        }
        self.release(batch);
        batch.fail(error);
    }

    fn release(&mut self, batch: &Batch) {
        self.buffered_bytes -= batch.buffered_bytes;
        self.incomplete.remove(&batch.ordinal);
        self.waiting_for_room = false;
    }

    /// Takes back a batch that `drain` handed out.
    pub(crate) fn settle(&mut self, batch: Batch, answer: Answer, now_ms: i64) -> Settled {
        self.queues[batch.queue].in_flight -= 1;
        match answer {
            Answer::Acknowledged(ack) => self.acknowledge(&batch, ack),
            Answer::Refused { code: ErrorCode::DUPLICATE_SEQUENCE_NUMBER, .. } => {
                // It is in the log, but too far back for the broker to know where.
                self.acknowledge(&batch, BatchAck { base_offset: None, log_append_time_ms: None })
            }
            Answer::Lost { reason } => self.retry_or_time_out(batch, reason, now_ms),
            Answer::Refused { code, message } => self.refused(batch, code, message, now_ms),
        }
    }

    fn acknowledge(&mut self, batch: &Batch, ack: BatchAck) -> Settled {
        if let Some(sequence) = batch.sequence {
            self.queues[batch.queue].sequences.acknowledged(sequence);
        }
        self.release(batch);
        batch.acknowledge(ack);
        Settled::Acknowledged
    }

    fn refused(
        &mut self,
        mut batch: Batch,
        code: ErrorCode,
        message: Option<String>,
        now_ms: i64,
    ) -> Settled {
        if let Some(sequence) = batch.sequence.filter(|_| self.is_not_in_log(&batch, code)) {
            self.queues[batch.queue].sequences.given_up(sequence);
            batch.sequence = None;
            return self.retry_or_time_out(batch, code.to_string(), now_ms);
        }
        if code.is_retriable() || self.waits_for_earlier(&batch, code) {
            return self.retry_or_time_out(batch, code.to_string(), now_ms);
        }
        let (topic, partition) = (Arc::clone(&batch.topic), batch.partition);
        self.give_up(&batch, DeliveryError::Refused { topic, partition, code, message });
        Settled::GivenUp
    }

    /// Whether the broker's answer to a numbered batch says that it never took it, so that it may have another number.
    fn is_not_in_log(&self, batch: &Batch, code: ErrorCode) -> bool {
        let sequences = &self.queues[batch.queue].sequences;
        match code {
            // The broker has forgotten this producer: a new epoch starts clean.
            ErrorCode::UNKNOWN_PRODUCER_ID => true,
            // All before it are decided, and one of them is missing there.
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER => {
                sequences.is_broken() && batch.sequence.is_some_and(|s| sequences.is_first_outstanding(s))
            }
            _ => false,
        }
    }

    /// An out-of-order answer to a batch behind one that has failed says nothing about the batch itself.
    fn waits_for_earlier(&self, batch: &Batch, code: ErrorCode) -> bool {
        let sequences = &self.queues[batch.queue].sequences;
        let later =
            batch.sequence.is_some_and(|s| sequences.is_broken() || !sequences.is_first_outstanding(s));
        code == ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER && later
    }

    fn retry_or_time_out(&mut self, mut batch: Batch, reason: String, now_ms: i64) -> Settled {
        batch.last_failure = reason;
        let overdue = batch.created_ms + self.limits.delivery_timeout_ms <= now_ms;
        if overdue || batch.attempts > self.limits.retries {
            self.give_up_timed_out(&batch, now_ms);
            return Settled::GivenUp;
        }
        batch.retry_at_ms = now_ms + self.backoff_ms(batch.attempts);
        let queue = &mut self.queues[batch.queue];
        let at = queue.closed.partition_point(|other| other.ordinal < batch.ordinal);
        let index = batch.queue;
        queue.closed.insert(at, batch);
        if !queue.is_active {
            queue.is_active = true;
            self.active.push_back(index);
        }
        Settled::Retried
    }

    fn backoff_ms(&self, attempts: u32) -> i64 {
        let doubled = self.limits.retry_backoff_ms.saturating_mul(1 << (attempts - 1).min(20));
        doubled.min(self.limits.retry_backoff_max_ms)
    }

    /// Gives up all that is waiting, because no producer id is to be had.
    pub(crate) fn give_up_waiting(&mut self, reason: &str) {
        for index in std::mem::take(&mut self.active) {
            let queue = &mut self.queues[index];
            queue.is_active = false;
            let waiting: Vec<Batch> = queue.closed.drain(..).chain(queue.open.take()).collect();
            for batch in waiting {
                self.give_up(&batch, DeliveryError::NoProducerId { reason: reason.to_owned() });
            }
        }
    }

    /// Fails everything that is still here. Nothing is accepted or handed out after it.
    pub(crate) fn close(&mut self) {
        for queue in &mut self.queues {
            let left = queue.closed.drain(..).chain(queue.open.take());
            left.for_each(|batch| batch.fail(DeliveryError::Closed));
        }
        self.active.clear();
        self.incomplete.clear();
        self.buffered_bytes = 0;
    }

    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        for (index, queue) in self.queues.iter().enumerate() {
            let ordinals: Vec<u64> =
                queue.closed.iter().chain(queue.open.as_ref()).map(|batch| batch.ordinal).collect();
            assert!(ordinals.is_sorted(), "queue {index} is out of order: {ordinals:?}");
            assert_eq!(queue.is_active, self.active.contains(&index), "queue {index}");
            assert!(queue.is_active || ordinals.is_empty(), "queue {index} is forgotten");
        }
        let queued: usize = self
            .queues
            .iter()
            .flat_map(|q| q.closed.iter().chain(q.open.as_ref()))
            .map(|b| b.buffered_bytes)
            .sum();
        assert!(queued <= self.buffered_bytes);
    }
}

/// Length, attributes, timestamp delta, offset delta, key length, value length and header count at their longest.
const RECORD_OVERHEAD_MAX: usize = 5 + 1 + 10 + 5 + 5 + 5 + 5;

fn earliest(current: Option<i64>, candidate_ms: i64) -> Option<i64> {
    Some(current.map_or(candidate_ms, |current| current.min(candidate_ms)))
}

#[cfg(test)]
mod tests;
