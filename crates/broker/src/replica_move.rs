//! Moving a replica to another log directory of this broker: copied step by step on a helper thread, then swapped.

use std::sync::Arc;

use klamm_log::{MoveError, TopicPartition};
use klamm_metadata::TopicIdPartition;
use klamm_protocol::Uuid;

use crate::broker::Broker;
use crate::partition::Partition;
use crate::replicas;

/// Bytes copied between looks at whether the move is still wanted.
const STEP_BYTES: usize = 16 * 1024 * 1024;

/// Copies until nothing is missing, then lets the copy take the log's place and tells the controller.
pub(crate) fn start(broker: &Arc<Broker>, partition: Arc<Partition>, target: Uuid) {
    let broker = broker.clone();
    broker.clone().environment().executors.run_blocking(Box::new(move || {
        let name = TopicPartition::new(&**partition.topic(), partition.index());
        match copy(&broker, &name) {
            Ok(log) => {
                partition.replace_log(log);
                tracing::info!("{name} was moved to log directory {target}");
                let id = TopicIdPartition { topic_id: partition.topic_id(), partition: partition.index() };
                replicas::assign_directories(&broker, vec![(id, target)]);
            }
            Err(MoveError::NoReplica(_)) => tracing::info!("the move of {name} was given up"),
            Err(error) => tracing::error!("{name} cannot be moved to log directory {target}: {error}"),
        }
    }));
}

fn copy(broker: &Broker, name: &TopicPartition) -> Result<Arc<klamm_log::Log>, MoveError> {
    let (dirs, clock) = (broker.log_dirs(), &broker.environment().clock);
    while !dirs.copy_step(name, STEP_BYTES, clock.now_ms())?.is_caught_up {}
    Ok(dirs.finish_move(name, clock.now_ms())?.log)
}
