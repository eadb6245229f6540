//! What became of a record: one shared state for all records of a batch, one cheap future for each of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use klamm_protocol::ErrorCode;
use parking_lot::Mutex;

/// Where an acknowledged record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// The partition it went to.
    pub partition: i32,
    /// Its offset; unknown with `acks=0`, and for a retry whose original the broker no longer remembers.
    pub offset: Option<i64>,
    /// Its timestamp in milliseconds: the broker's on topics with LogAppendTime, otherwise the record's own.
    pub timestamp_ms: i64,
}

/// Why a record that was accepted by `send` is not, or not surely, in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The broker refused its batch for good.
    #[error("{topic}-{partition}: the broker answered {code}{}", detail(message))]
    Refused {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The broker's answer.
        code: ErrorCode,
        /// What the broker says about it.
        message: Option<String>,
    },
    /// No acknowledgement came within `delivery.timeout.ms`, or all retries are used up. The record may be in the
    /// log all the same.
    #[error("{topic}-{partition}: not acknowledged within {after_ms} ms, last answer: {last}")]
    TimedOut {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// Time since `send`.
        after_ms: i64,
        /// What stood in the way last.
        last: String,
    },
    /// The cluster gave the producer no id to write idempotently with.
    #[error("no producer id: {reason}")]
    NoProducerId {
        /// Why.
        reason: String,
    },
    /// The producer was dropped before the record was sent.
    #[error("the producer was closed before the record was sent")]
    Closed,
}

fn detail(message: &Option<String>) -> String {
    message.as_ref().map_or(String::new(), |message| format!(": {message}"))
}

/// A batch's acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchAck {
    pub(crate) base_offset: Option<i64>,
    pub(crate) log_append_time_ms: Option<i64>,
}

/// What the records of one batch wait for. Set once.
#[derive(Debug, Default)]
pub(crate) struct BatchOutcome {
    result: OnceLock<Result<BatchAck, DeliveryError>>,
    wakers: Mutex<Vec<Waker>>,
}

impl BatchOutcome {
    /// Decides the outcome and wakes all that wait for it. Only the first call counts.
    pub(crate) fn complete(&self, result: Result<BatchAck, DeliveryError>) {
        if self.result.set(result).is_ok() {
            let wakers = std::mem::take(&mut *self.wakers.lock());
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<&Result<BatchAck, DeliveryError>> {
        if self.result.get().is_none() {
            let mut wakers = self.wakers.lock();
            // Looked at again under the lock: `complete` takes the wakers after it has set the result.
            if self.result.get().is_none() {
                if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    wakers.push(cx.waker().clone());
                }
                return Poll::Pending;
            }
        }
        self.result.get().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The future acknowledgement of one record. Dropping it does not recall the record.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub(crate) outcome: Arc<BatchOutcome>,
    pub(crate) partition: i32,
    pub(crate) index: u32,
    pub(crate) timestamp_ms: i64,
}

impl Delivery {
    fn locate(&self, ack: &BatchAck) -> Delivered {
        Delivered {
            partition: self.partition,
            offset: ack.base_offset.map(|base| base + i64::from(self.index)),
            timestamp_ms: ack.log_append_time_ms.unwrap_or(self.timestamp_ms),
        }
    }

    /// The outcome, if it is known already.
    pub fn try_get(&self) -> Option<Result<Delivered, DeliveryError>> {
        let result = self.outcome.result.get()?;
        Some(result.as_ref().map(|ack| self.locate(ack)).map_err(Clone::clone))
    }
}

impl Future for Delivery {
    type Output = Result<Delivered, DeliveryError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.outcome.poll(cx).map(|result| result.as_ref().map(|ack| self.locate(ack)).map_err(Clone::clone))
    }
}
