//! Checking batches against producer state before they are written.
//!
//! The checks work on copies of the producers concerned ([`Staged`]), which replace the state only after the write
//! succeeded. A batch without a producer id is not looked at.

use klamm_protocol::control_record::ControlRecord;
use klamm_records::{BatchHeader, NO_PRODUCER_EPOCH, RecordIter};
use thiserror::Error;

use super::{BatchMetadata, ProducerState, ProducerStates, VerificationGuard};

/// Who wrote the batches; decides what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: everything is checked.
    Client,
    /// This broker, for a coordinator or for transaction markers: epochs are checked, sequences are not.
    Coordinator,
    /// The partition's leader, whose log is copied: it has checked.
    Replication,
}

/// Why a batch of an idempotent or transactional producer is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProducerError {
    /// A newer instance of the producer wrote here (INVALID_PRODUCER_EPOCH).
    #[error("producer {producer_id} has epoch {producer_epoch}, but epoch {current_epoch} was seen")]
    InvalidEpoch {
        /// The producer.
        producer_id: i64,
        /// The batch's epoch.
        producer_epoch: i16,
        /// The epoch in the state.
        current_epoch: i16,
    },
    /// A batch is missing in between (OUT_OF_ORDER_SEQUENCE_NUMBER).
    #[error("producer {producer_id} sends sequence {sequence} behind {last_sequence}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// The batch's first sequence number.
        sequence: i32,
        /// The last one in the log, −1 for none.
        last_sequence: i32,
    },
    /// A batch outside of a transaction while one is open, or the reverse (INVALID_TXN_STATE).
    #[error("producer {producer_id}: {what}")]
    InvalidTransactionState {
        /// The producer.
        producer_id: i64,
        /// What is wrong.
        what: &'static str,
    },
    /// A marker of a coordinator that was replaced (TRANSACTION_COORDINATOR_FENCED).
    #[error(
        "marker for producer {producer_id} has coordinator epoch {coordinator_epoch}, but {current_epoch} was seen"
    )]
    CoordinatorFenced {
        /// The producer.
        producer_id: i64,
        /// The marker's epoch.
        coordinator_epoch: i32,
        /// The epoch in the state.
        current_epoch: i32,
    },
}

/// The end of a transaction, as a control batch says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndMarker {
    pub(crate) is_abort: bool,
    pub(crate) coordinator_epoch: i32,
    pub(crate) timestamp: i64,
}

impl EndMarker {
    /// The marker in a control batch; `None` for other control batches and for those that compaction emptied.
    pub(crate) fn parse(header: &BatchHeader, body: &[u8]) -> Option<Self> {
        let record = RecordIter::new(header, body).next()?.ok()?;
        let (is_abort, marker) = match ControlRecord::decode(record.key?, record.value?).ok()? {
            ControlRecord::Abort(marker) => (true, marker),
            ControlRecord::Commit(marker) => (false, marker),
            _ => return None,
        };
        Some(Self { is_abort, coordinator_epoch: marker.coordinator_epoch, timestamp: record.timestamp })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompletedTransaction {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) is_aborted: bool,
}

/// What an append will change.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(super) producers: Vec<StagedProducer>,
    pub(super) started: Vec<(i64, i64)>,
    pub(super) completed: Vec<CompletedTransaction>,
}

#[derive(Debug)]
pub(super) struct StagedProducer {
    pub(super) state: ProducerState,
    /// Whether the batches were transactional, and whether the last was a marker.
    pub(super) is_transactional: bool,
    pub(super) is_marker: bool,
}

impl Staged {
    pub(crate) fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    fn producer(&mut self, states: &ProducerStates, producer_id: i64) -> usize {
        let known = self.producers.iter().position(|staged| staged.state.producer_id == producer_id);
        known.unwrap_or_else(|| {
            let state =
                states.get(producer_id).cloned().unwrap_or_else(|| ProducerState::unknown(producer_id));
            self.producers.push(StagedProducer { state, is_transactional: false, is_marker: false });
            self.producers.len() - 1
        })
    }
}

/// The rules that one append is checked by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) origin: AppendOrigin,
    /// Markers must be of a newer epoch than the data (KIP-890).
    pub(crate) is_transaction_v2: bool,
    /// `Some` when the first batch of a transaction must be verified with the coordinator, with the guard if any.
    pub(crate) verification: Option<Option<VerificationGuard>>,
}

impl Rules {
    pub(crate) const REPLICATION: Self =
        Self { origin: AppendOrigin::Replication, is_transaction_v2: false, verification: None };
}

impl ProducerStates {
    /// The batch in the log that this one repeats, if any.
    pub(crate) fn find_duplicate(&self, header: &BatchHeader) -> Option<BatchMetadata> {
        self.get(header.producer_id)?.find_duplicate(header)
    }

    /// Checks one batch, as it will be written, and notes its effect.
    pub(crate) fn stage(
        &self,
        staged: &mut Staged,
        header: &BatchHeader,
        marker: Option<EndMarker>,
        rules: Rules,
    ) -> Result<(), ProducerError> {
        if header.attributes.is_control() {
            return match marker {
                Some(marker) => self.stage_marker(staged, header, marker, rules),
                None => Ok(()),
            };
        }
        self.check_verified(header, rules)?;
        self.stage_data(staged, header, rules)
    }

    fn check_verified(&self, header: &BatchHeader, rules: Rules) -> Result<(), ProducerError> {
        let (producer_id, epoch) = (header.producer_id, header.producer_epoch);
        let is_start =
            header.attributes.is_transactional() && !self.has_ongoing_transaction(producer_id, epoch);
        match rules.verification {
            Some(guard) if is_start && !self.verifications.is_verified(producer_id, guard) => {
                let what = "the batch is not part of a transaction that the coordinator knows";
                Err(ProducerError::InvalidTransactionState { producer_id, what })
            }
            _ => Ok(()),
        }
    }

    fn stage_data(
        &self,
        staged: &mut Staged,
        header: &BatchHeader,
        rules: Rules,
    ) -> Result<(), ProducerError> {
        let number = staged.producer(self, header.producer_id);
        let producer = &mut staged.producers[number];
        check_epoch(&producer.state, header, rules, false)?;
        if rules.origin == AppendOrigin::Client {
            self.verifications.check_sequence(header, &producer.state)?;
            check_sequence(&producer.state, header)?;
        }
        let batch = BatchMetadata {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        };
        producer.state.add_batch(header.producer_epoch, batch);
        let is_transactional = header.attributes.is_transactional();
        producer.is_transactional |= is_transactional;
        match producer.state.current_transaction_start {
            Some(_) if !is_transactional && rules.origin != AppendOrigin::Replication => {
                let what = "a batch outside of the transaction that is open";
                return Err(ProducerError::InvalidTransactionState { producer_id: header.producer_id, what });
            }
            None if is_transactional => {
                producer.state.current_transaction_start = Some(header.base_offset);
                staged.started.push((header.base_offset, header.producer_id));
            }
            _ => {}
        }
        Ok(())
    }

    fn stage_marker(
        &self,
        staged: &mut Staged,
        header: &BatchHeader,
        marker: EndMarker,
        rules: Rules,
    ) -> Result<(), ProducerError> {
        let number = staged.producer(self, header.producer_id);
        let producer = &mut staged.producers[number];
        check_epoch(&producer.state, header, rules, true)?;
        let current_epoch = producer.state.coordinator_epoch;
        if current_epoch > marker.coordinator_epoch && rules.origin != AppendOrigin::Replication {
            let (producer_id, coordinator_epoch) = (header.producer_id, marker.coordinator_epoch);
            return Err(ProducerError::CoordinatorFenced { producer_id, coordinator_epoch, current_epoch });
        }
        (producer.is_transactional, producer.is_marker) = (true, true);
        if let Some(first_offset) = producer.state.current_transaction_start {
            staged.completed.push(CompletedTransaction {
                producer_id: header.producer_id,
                first_offset,
                last_offset: header.last_offset(),
                is_aborted: marker.is_abort,
            });
        }
        let state = &mut staged.producers[number].state;
        state.end_transaction(header.producer_epoch, marker.coordinator_epoch, marker.timestamp);
        Ok(())
    }
}

fn check_epoch(
    state: &ProducerState,
    header: &BatchHeader,
    rules: Rules,
    is_marker: bool,
) -> Result<(), ProducerError> {
    let (producer_epoch, current_epoch) = (header.producer_epoch, state.producer_epoch);
    let must_be_newer = is_marker && rules.is_transaction_v2;
    // A coordinator that does not know whether its marker arrived writes it again.
    let is_repeated_marker = producer_epoch == current_epoch
        && (state.current_transaction_start.is_none() || producer_epoch == i16::MAX);
    let is_valid = match must_be_newer {
        true => producer_epoch > current_epoch || is_repeated_marker,
        false => producer_epoch >= current_epoch,
    };
    if is_valid || rules.origin == AppendOrigin::Replication {
        return Ok(());
    }
    Err(ProducerError::InvalidEpoch { producer_id: header.producer_id, producer_epoch, current_epoch })
}

/// The next sequence number follows the last; a new epoch begins at 0; of an unknown producer any will do.
fn check_sequence(state: &ProducerState, header: &BatchHeader) -> Result<(), ProducerError> {
    let (sequence, last_sequence) = (header.base_sequence, state.last_sequence());
    let follows = match state.producer_epoch {
        NO_PRODUCER_EPOCH => true,
        epoch if epoch != header.producer_epoch => sequence == 0,
        _ => {
            i64::from(sequence) == i64::from(last_sequence) + 1
                || (sequence == 0 && last_sequence == i32::MAX)
        }
    };
    if follows {
        return Ok(());
    }
    Err(ProducerError::OutOfOrderSequence { producer_id: header.producer_id, sequence, last_sequence })
}
