//! Flushes on behalf of those who must not block.
//!
//! Who needs a flush registers the log, an offset and what to call afterwards, and goes on. Helper threads run
//! [`Flusher::work`]; a simulation calls [`Flusher::run_pending`] instead. All that register for a log while it is being flushed
//! share its next flush: one sync for all of them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::error::StorageError;
use crate::log::Log;

/// Called once when a flush is done, with the log's recovery point, on the thread that flushed. It must not block: it
/// wakes a task or sends a message.
pub type FlushDone = Box<dyn FnOnce(Result<i64, StorageError>) + Send>;

/// Logs that wait for a flush, and who waits for it.
#[derive(Default)]
pub struct Flusher {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Logs whose turn has not come, each once, by address.
    order: VecDeque<usize>,
    waiting: HashMap<usize, Waiting>,
    is_closed: bool,
}

struct Waiting {
    log: Arc<Log>,
    /// Up to where the most demanding one needs the flush.
    offset: i64,
    done: Vec<FlushDone>,
}

impl Flusher {
    /// Without anything to do.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for everything below `offset` to be durable. Never blocks. When that is so already, `done` is called at once.
    pub fn register(&self, log: &Arc<Log>, offset: i64, done: FlushDone) {
        let recovery_point = log.recovery_point();
        if recovery_point >= offset {
            return done(Ok(recovery_point));
        }
        let mut queue = self.queue.lock();
        let key = Arc::as_ptr(log).addr();
        match queue.waiting.get_mut(&key) {
            Some(waiting) => {
                waiting.offset = waiting.offset.max(offset);
                waiting.done.push(done);
            }
            None => {
                queue.waiting.insert(key, Waiting { log: Arc::clone(log), offset, done: vec![done] });
                queue.order.push_back(key);
                self.changed.notify_one();
            }
        }
    }

    /// Flushes until [`close`](Self::close); for one or more helper threads.
    pub fn work(&self) {
        let mut queue = self.queue.lock();
        loop {
            if let Some(waiting) = queue.take() {
                parking_lot::MutexGuard::unlocked(&mut queue, || waiting.flush());
            } else if queue.is_closed {
                return;
            } else {
                self.changed.wait(&mut queue);
            }
        }
    }

    /// Does on this thread what is registered now; returns how many logs were flushed.
    pub fn run_pending(&self) -> usize {
        let mut flushed = 0;
        loop {
            let Some(waiting) = self.queue.lock().take() else { return flushed };
            waiting.flush();
            flushed += 1;
        }
    }

    /// Lets the helper threads end once everything registered is done.
    pub fn close(&self) {
        self.queue.lock().is_closed = true;
        self.changed.notify_all();
    }
}

impl Queue {
    fn take(&mut self) -> Option<Waiting> {
        let key = self.order.pop_front()?;
        self.waiting.remove(&key)
    }
}

impl Waiting {
    fn flush(self) {
        let result = self.log.flush(self.offset).map(|flushed| flushed.recovery_point);
        for done in self.done {
            done(result.clone());
        }
    }
}

impl fmt::Debug for Flusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flusher").field("logs_waiting", &self.queue.lock().order.len()).finish()
    }
}
