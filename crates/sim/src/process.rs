//! The life of one broker process: its tasks, and the moment at which it is dead.
//!
//! A dead process does nothing any more: its tasks are not polled, its disk operations fail, its bytes go nowhere. It need not be told.
//!
//! A process runs its tasks itself: among those that are ready the dice pick the next one. So the order in which tasks were woken does
//! not matter, and it must not: tokio's `watch` channels wake those who wait in an order that nobody can seed.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use klamm_broker::environment::{Executors, LocalTask, Place, TaskMaker};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use crate::random::Dice;

/// Work on a disk that is well takes up to so many milliseconds to begin.
pub(crate) const DISK_DELAY_MS_MAX: u64 = 4;

/// One incarnation of the broker.
#[derive(Default)]
pub(crate) struct Process {
    is_dead: AtomicBool,
    is_paused: AtomicBool,
    died: Notify,
    queue: Mutex<Queue>,
    threads: Mutex<Option<JoinHandle<()>>>,
}

/// So many tasks do not run at one moment: a process that goes in circles keeps time from passing.
const POLLS_AT_ONE_MOMENT_MAX: u64 = 300_000;

/// What there is to do.
#[derive(Default)]
struct Queue {
    /// Tasks that nobody has begun.
    new: Vec<TaskMaker>,
    /// The tasks that want to be polled, by number.
    ready: BTreeSet<u64>,
    /// Who polls them.
    waker: Option<Waker>,
}

impl Process {
    /// A living process that has nothing to do yet.
    pub(crate) fn begin(dice: Dice) -> Arc<Self> {
        let process = Arc::new(Self::default());
        let (tasks, moment) = (BTreeMap::new(), Instant::now());
        let threads = Threads { process: process.clone(), dice, tasks, next_number: 0, moment, polls: 0 };
        *process.threads.lock() = Some(spawn_local(threads));
        process
    }

    /// Whether it is dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }

    /// Ends it, in the middle of whatever it does.
    pub(crate) fn die(&self) {
        if !self.is_dead.swap(true, Ordering::Relaxed) {
            self.died.notify_one();
            self.queue.lock().wake();
        }
    }

    /// Stops it where it is, or lets it go on. Meanwhile the kernel keeps its connections.
    pub(crate) fn pause(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::Relaxed);
        self.queue.lock().wake();
    }

    /// Waits until it is dead.
    pub(crate) async fn dead(&self) {
        while !self.is_dead() {
            self.died.notified().await;
        }
    }

    /// Waits until nothing is left of it.
    pub(crate) async fn bury(&self) {
        self.die();
        let threads = self.threads.lock().take();
        if let Some(threads) = threads {
            let _ = threads.await;
        }
    }

    /// Runs a task in it. What it comes to is not known if the process dies before.
    pub(crate) async fn run<T, F>(&self, task: impl FnOnce() -> F + Send + 'static) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (done, result) = oneshot::channel();
        self.spawn(Box::new(move || {
            let task = task();
            Box::pin(async move {
                let _ = done.send(task.await);
            })
        }));
        result.await.ok()
    }

    fn spawn(&self, task: TaskMaker) {
        if !self.is_dead() {
            let mut queue = self.queue.lock();
            queue.new.push(task);
            queue.wake();
        }
    }
}

impl Queue {
    fn wake(&mut self) {
        self.waker.take().into_iter().for_each(Waker::wake);
    }
}

/// All threads of a process. One task is polled at a time, and others than its own come in between.
struct Threads {
    process: Arc<Process>,
    dice: Dice,
    tasks: BTreeMap<u64, LocalTask>,
    next_number: u64,
    moment: Instant,
    polls: u64,
}

impl Threads {
    fn count_poll(&mut self) {
        let now = Instant::now();
        self.polls = if now == self.moment { self.polls + 1 } else { 0 };
        self.moment = now;
        assert!(self.polls < POLLS_AT_ONE_MOMENT_MAX, "a process goes in circles, and no time passes");
    }

    fn take_new(&mut self) {
        let new = std::mem::take(&mut self.process.queue.lock().new);
        for task in new {
            self.tasks.insert(self.next_number, task());
            self.process.queue.lock().ready.insert(self.next_number);
            self.next_number += 1;
        }
    }

    /// The number of a task that wants to be polled, and whether there are others.
    fn pick(&self) -> Option<(u64, bool)> {
        let mut queue = self.process.queue.lock();
        let count = queue.ready.len() as u64;
        let number = queue.ready.iter().nth(self.dice.below(count) as usize).copied()?;
        queue.ready.remove(&number);
        Some((number, count > 1))
    }

    fn poll_task(&mut self, number: u64) {
        let alarm = Waker::from(Arc::new(Alarm { process: self.process.clone(), number }));
        if let Some(task) = self.tasks.get_mut(&number)
            && task.as_mut().poll(&mut Context::from_waker(&alarm)).is_ready()
        {
            self.tasks.remove(&number);
        }
    }
}

impl Future for Threads {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.process.is_dead() {
            let left = std::mem::take(&mut *self.process.queue.lock());
            drop((std::mem::take(&mut self.tasks), left));
            return Poll::Ready(());
        }
        self.process.queue.lock().waker = Some(cx.waker().clone());
        if self.process.is_paused.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        self.take_new();
        if let Some((number, has_more)) = self.pick() {
            self.count_poll();
            self.poll_task(number);
            if has_more {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

/// Wakes a task of a process.
struct Alarm {
    process: Arc<Process>,
    number: u64,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        let mut queue = self.process.queue.lock();
        queue.ready.insert(self.number);
        queue.wake();
    }
}

/// The threads of a process: all of them the current one.
pub(crate) struct OneThread {
    /// The process.
    pub(crate) process: Arc<Process>,
    /// Decides how long work on the disk waits for its turn.
    pub(crate) dice: Dice,
    /// The longest wait in milliseconds.
    pub(crate) disk_delay_ms_max: Arc<AtomicU64>,
}

impl Executors for OneThread {
    fn workers(&self) -> usize {
        2
    }

    fn spawn(&self, _: Place, task: TaskMaker) {
        self.process.spawn(task);
    }

    fn disk_threads(&self, _: usize) -> usize {
        1
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let delay = Duration::from_millis(self.dice.below(self.disk_delay_ms_max.load(Ordering::Relaxed)));
        self.process.spawn(Box::new(move || {
            Box::pin(async move {
                tokio::time::sleep(delay).await;
                work();
            })
        }));
    }
}
