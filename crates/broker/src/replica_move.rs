//! Moving replicas to other log directories of this broker (KIP-113): copied step by step, then swapped.
//!
//! One replica moves at a time, and each step is a piece of work of its own for a helper thread: moves of hundreds of replicas
//! leave the threads to flushes and reads in between.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use klamm_log::{LogDirs, Move, MoveError};
use klamm_metadata::TopicIdPartition;
use klamm_protocol::Uuid;
use parking_lot::Mutex;

use crate::broker::Broker;
use crate::environment::Place;
use crate::partition::Partition;
use crate::replica_directories;

/// How often it is looked whether the bound on moves has changed.
const BOUND_LOOK_MS: i64 = 1000;
/// Bytes copied in a step.
const STEP_BYTES: usize = 16 * 1024 * 1024;

/// Replicas that wait for their move.
pub(crate) struct Moves<T = Arc<Partition>>(Mutex<Option<VecDeque<T>>>);

impl<T> Default for Moves<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Moves<T> {
    /// True when nobody is moving replicas, and the caller must begin.
    fn add(&self, one: T) -> bool {
        let mut waiting = self.0.lock();
        let must_begin = waiting.is_none();
        waiting.get_or_insert_default().push_back(one);
        must_begin
    }

    /// The next one. After `None` the next to be added needs somebody who begins again.
    fn next(&self) -> Option<T> {
        let mut waiting = self.0.lock();
        let next = waiting.as_mut()?.pop_front();
        if next.is_none() {
            *waiting = None;
        }
        next
    }
}

/// Moves a replica whose move the log directories know of, when its turn comes.
pub(crate) fn start(broker: &Arc<Broker>, partition: Arc<Partition>, target: Uuid) {
    tracing::info!("{} moves to log directory {target}", partition.name());
    if broker.moves.add(partition) {
        let broker = broker.clone();
        broker.clone().environment().spawn(Place::Control, move || run(broker));
    }
}

/// Goes on with the moves that the last stop interrupted.
pub(crate) fn resume(broker: &Arc<Broker>) {
    let (dirs, now_ms) = (broker.log_dirs(), broker.environment().clock.now_ms());
    for (name, future) in dirs.futures() {
        let hosted = broker.hosted();
        let current = hosted.partition(&name.topic, name.partition);
        let same_topic = |id| current.filter(|current| id == Some(current.topic_id()));
        match (same_topic(future.topic_id), future.directory.id()) {
            (Some(partition), Some(target)) => start(broker, partition.clone(), target),
            _ => {
                tracing::info!("the move of {name} is given up: the replica is not here any more");
                if let Err(error) = dirs.cancel_move(&name, now_ms) {
                    broker.note_storage_error(&error);
                }
            }
        }
    }
}

async fn run(broker: Arc<Broker>) {
    while let Some(partition) = broker.moves.next() {
        move_one(&broker, partition).await;
    }
}

/// Copies until nothing is missing, lets the copy take the log's place and tells the controller.
async fn move_one(broker: &Arc<Broker>, partition: Arc<Partition>) {
    let name = partition.name();
    loop {
        wait_for_bound(broker).await;
        let (worker, moving) = (broker.clone(), partition.clone());
        match broker.environment().blocking(move || step(&worker, &moving)).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(target))) => {
                tracing::info!("{name} was moved to log directory {target}");
                let id = TopicIdPartition { topic_id: partition.topic_id(), partition: partition.index() };
                return replica_directories::tell(broker, &broker.image(), [&id]);
            }
            Ok(Err(MoveError::NoReplica(_))) => return tracing::info!("the move of {name} was given up"),
            Ok(Err(error)) => {
                if let MoveError::Storage(error) = &error {
                    broker.log_dirs().note_error(error);
                }
                return tracing::error!("{name} cannot be moved: {error}");
            }
            Err(_) => return tracing::debug!("no more moves: the broker is stopping"),
        }
    }
}

/// Waits until as little was moved of late as settings allow. They may change meanwhile.
async fn wait_for_bound(broker: &Broker) {
    let clock = &broker.environment().clock;
    while let Some(due_ms) = broker.throttles().moves.due_ms(clock.monotonic_ms()) {
        let wait_ms = (due_ms - clock.monotonic_ms()).clamp(1, BOUND_LOOK_MS);
        tokio::time::sleep(Duration::from_millis(wait_ms as u64)).await;
    }
}

/// One step; the new directory when it was the last. The partition gets the copy at once: until then it takes no appends.
fn step(broker: &Broker, partition: &Partition) -> Result<Option<Uuid>, MoveError> {
    let (dirs, now_ms) = (broker.log_dirs(), broker.environment().clock.now_ms());
    let bound = &broker.throttles().moves;
    let allowed =
        bound.bytes_per_second().map_or(STEP_BYTES, |bytes| bytes.clamp(1, STEP_BYTES as u64) as usize);
    let moving = move_of(dirs, partition)?;
    let copied = dirs.copy_step(&moving, allowed, now_ms).and_then(|copied| {
        bound.record(copied.bytes, broker.environment().clock.monotonic_ms());
        copied.is_caught_up.then(|| dirs.finish_move(&moving, now_ms)).transpose()
    });
    // Until a move is over the log is not compacted, so one that failed must not stay.
    let moved = copied.inspect_err(|_| {
        if let Err(error) = dirs.give_up_move(&moving, now_ms) {
            broker.note_storage_error(&error);
        }
    })?;
    Ok(moved.and_then(|moved| {
        partition.replace_log(moved.log);
        moved.directory.id()
    }))
}

/// The move of this partition, and not of one that has its name since it was deleted.
fn move_of(dirs: &LogDirs, partition: &Partition) -> Result<Move, MoveError> {
    let name = partition.name();
    let moving = dirs.move_of(&name).filter(|moving| Arc::ptr_eq(moving.current(), &partition.log()));
    moving.ok_or(MoveError::NoReplica(name))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use klamm_log::LogConfig;

    use super::*;
    use crate::partition::tests::{environment, partition_on};

    /// The partition that was deleted waits for its move still when its turn comes.
    #[test]
    fn a_move_of_a_new_partition_is_not_that_of_a_deleted_one_of_its_name() {
        let paths = ["/a", "/b"].map(PathBuf::from);
        let dirs = Arc::new(LogDirs::open(environment().disk, &paths, 10).unwrap());
        let mut ids = 1..;
        dirs.format("cluster", 1, || Uuid::from_u128(ids.next().unwrap())).unwrap();
        let old = partition_on(&dirs, "t");
        let name = old.name();
        dirs.delete(&name, 0).unwrap();
        let log = dirs.create(&name, None, None, Arc::new(LogConfig::default()), 0).unwrap().log;
        dirs.start_move(&name, dirs.directories()[1].id().unwrap(), 0).unwrap();
        assert!(matches!(move_of(&dirs, &old), Err(MoveError::NoReplica(_))));
        old.replace_log(log);
        assert!(move_of(&dirs, &old).is_ok());
    }

    #[test]
    fn one_mover_takes_all_that_wait() {
        let moves = Moves::default();
        assert!(moves.add(1));
        assert!(!moves.add(2));
        assert_eq!(moves.next(), Some(1));
        assert!(!moves.add(3), "the mover is at work on the first");
        assert_eq!([moves.next(), moves.next(), moves.next()], [Some(2), Some(3), None]);
        assert!(moves.add(4), "it has gone");
    }
}
