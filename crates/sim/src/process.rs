//! The life of one broker process: its tasks, and the moment at which it is dead.
//!
//! A dead process does nothing any more: its tasks are not polled, its disk operations fail, its bytes go nowhere. It need not be told.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use klamm_broker::environment::{Executors, LocalTask, Place, TaskMaker};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};

use crate::random::Dice;

/// Work on the disk takes up to so many milliseconds to begin.
const BLOCKING_DELAY_MS_MAX: u64 = 4;

/// One incarnation of the broker.
#[derive(Default)]
pub(crate) struct Process {
    is_dead: AtomicBool,
    died: Notify,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Process {
    /// Whether it is dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }

    /// Ends it, in the middle of whatever it does.
    pub(crate) fn die(&self) {
        if !self.is_dead.swap(true, Ordering::Relaxed) {
            self.died.notify_one();
        }
    }

    /// Waits until it is dead.
    pub(crate) async fn dead(&self) {
        while !self.is_dead() {
            self.died.notified().await;
        }
    }

    /// Drops what is left of a dead process.
    pub(crate) async fn bury(&self) {
        self.die();
        loop {
            let tasks = std::mem::take(&mut *self.tasks.lock());
            if tasks.is_empty() {
                return;
            }
            tasks.iter().for_each(AbortHandle::abort);
            while !tasks.iter().all(AbortHandle::is_finished) {
                tokio::task::yield_now().await;
            }
        }
    }

    fn spawn(self: &Arc<Self>, task: LocalTask) {
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(spawn_local(Mortal { task, process: self.clone() }).abort_handle());
    }
}

/// A task that stands still when its process is dead.
struct Mortal {
    task: LocalTask,
    process: Arc<Process>,
}

impl Future for Mortal {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.process.is_dead() { Poll::Pending } else { self.task.as_mut().poll(cx) }
    }
}

/// The threads of a process: all of them the current one.
pub(crate) struct OneThread {
    /// The process.
    pub(crate) process: Arc<Process>,
    /// Decides how long work on the disk waits for its turn.
    pub(crate) dice: Dice,
}

impl Executors for OneThread {
    fn workers(&self) -> usize {
        2
    }

    fn spawn(&self, _: Place, task: TaskMaker) {
        if !self.process.is_dead() {
            self.process.spawn(task());
        }
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        if self.process.is_dead() {
            return;
        }
        let delay = Duration::from_millis(self.dice.below(BLOCKING_DELAY_MS_MAX));
        self.process.spawn(Box::pin(async move {
            tokio::time::sleep(delay).await;
            work();
        }));
    }
}
