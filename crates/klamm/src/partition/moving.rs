//! Moving replicas: throttles on, the order given, the wait, throttles off.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use klamm_client::{
    Admin, AdminError, AlterConfig, ConfigChange, ConfigEntry, ConfigResource, Reassignment, TopicPartition,
};

use crate::advice::sort_out;
use crate::failure::Failure;
use crate::partition::placement::Assignment;
use crate::progress_line::ProgressLine;
use crate::signals::asked_to_stop;

/// Partitions in one request; the controller refuses much larger ones.
const BATCH: usize = 1_000;
/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(500);
/// Looks between two counts of bytes, which make brokers walk all they hold.
const LOOKS_PER_COUNT: u32 = 4;

const RATES: [&str; 2] = ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];
const THROTTLED: [&str; 2] =
    ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"];

/// A partition's replicas before and after.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Move {
    pub(crate) before: Vec<i32>,
    pub(crate) after: Vec<i32>,
}

impl Move {
    /// Who has to copy the partition.
    pub(crate) fn adding(&self) -> impl Iterator<Item = i32> {
        self.after.iter().copied().filter(|id| !self.before.contains(id))
    }
}

/// What is to be moved.
pub(crate) type Moves = BTreeMap<TopicPartition, Move>;

/// The partitions whose replicas differ, with both.
pub(crate) fn moves(current: &Assignment, planned: &Assignment) -> Moves {
    let changed = planned.iter().filter_map(|(partition, after)| {
        let before = current.get(partition)?;
        (before != after).then(|| (partition.clone(), Move { before: before.clone(), after: after.clone() }))
    });
    changed.collect()
}

/// Has the cluster do it, and waits; throttles are off again afterwards, however it ends, which may be that somebody stops the command.
pub(crate) async fn carry_out(admin: &Admin, moves: &Moves, throttle: Option<u64>) -> Result<(), Failure> {
    let moved = async {
        begin(admin, moves, throttle).await?;
        wait(admin, moves).await
    };
    let ended = tokio::select! {
        biased;
        moved = moved => moved,
        _ = asked_to_stop() => Err(stopped_early(throttle)),
    };
    if throttle.is_some() {
        clear_throttles(admin, moves).await?;
    }
    ended
}

fn stopped_early(throttle: Option<u64>) -> Failure {
    let goes_on = match throttle {
        Some(_) => "what has begun to move goes on moving, and without the throttle",
        None => "what has begun to move goes on moving",
    };
    Failure::new(format!(
        "stopped before all was moved: {goes_on}; klamm partition reassign --status shows it, --cancel takes it back"
    ))
}

/// Takes back moves that are under way: which of them, and what failed. A throttle that no other move is under goes with them: the command that set it may be gone.
pub(crate) async fn cancel(
    admin: &Admin,
    under_way: &BTreeMap<TopicPartition, Reassignment>,
) -> Result<(Vec<TopicPartition>, Result<(), Failure>), Failure> {
    let targets = under_way.keys().map(|partition| (partition.clone(), None)).collect();
    let (done, refused) = sort_out(admin.alter_partition_reassignments(&targets).await?, ToString::to_string);
    let rest = throttled(admin, as_moves(admin.list_partition_reassignments(None).await?)).await?;
    let cleared = clear(admin, without(&as_moves(under_way.clone()), &rest)).await;
    Ok((done.into_iter().map(|(partition, ())| partition).collect(), refused.and(cleared)))
}

/// Those of the moves that are under a throttle.
async fn throttled(admin: &Admin, mut moves: Moves) -> Result<Moves, Failure> {
    let resources: Vec<_> = topics(&moves).into_iter().map(ConfigResource::topic).collect();
    if resources.is_empty() {
        return Ok(moves);
    }
    let is_set = |entry: &ConfigEntry| {
        THROTTLED.contains(&&*entry.name) && entry.value.as_ref().is_some_and(|value| !value.is_empty())
    };
    let described = admin.describe_configs(&resources, false).await?.into_iter();
    let throttled: BTreeSet<String> = described
        .filter(|(_, entries)| entries.as_ref().is_ok_and(|entries| entries.iter().any(is_set)))
        .map(|(topic, _)| topic.name)
        .collect();
    moves.retain(|partition, _| throttled.contains(&*partition.topic));
    Ok(moves)
}

/// Moves under way as what they were begun as.
fn as_moves(under_way: BTreeMap<TopicPartition, Reassignment>) -> Moves {
    let as_move = |reassignment: Reassignment| {
        let after = reassignment.target();
        let before = reassignment.replicas.into_iter().filter(|id| !reassignment.adding.contains(id));
        Move { before: before.collect(), after }
    };
    under_way.into_iter().map(|(partition, reassignment)| (partition, as_move(reassignment))).collect()
}

/// Has the cluster begin; `throttle` is in bytes per second.
pub(crate) async fn begin(admin: &Admin, moves: &Moves, throttle: Option<u64>) -> Result<(), Failure> {
    if let Some(rate) = throttle {
        set_throttles(admin, moves, rate).await?;
    }
    let targets: Vec<_> = moves.iter().map(|(p, m)| (p.clone(), Some(m.after.clone()))).collect();
    for batch in targets.chunks(BATCH) {
        let outcomes = admin.alter_partition_reassignments(&batch.iter().cloned().collect()).await?;
        sort_out(outcomes, ToString::to_string).1?;
    }
    Ok(())
}

/// Waits until none of these partitions moves any more, with progress for a person who watches.
async fn wait(admin: &Admin, moves: &Moves) -> Result<(), Failure> {
    let mut line = ProgressLine::new(true);
    let mut copied = None;
    for look in 0u32.. {
        let under_way = under_way(admin, moves).await?;
        if under_way.is_empty() {
            break;
        }
        if look.is_multiple_of(LOOKS_PER_COUNT) && line.is_shown() {
            copied = copied_bytes(admin, moves).await.ok();
        }
        line.show(|| progress(moves.len(), under_way.len(), copied));
        tokio::time::sleep(LOOK).await;
    }
    drop(line);
    check_arrived(admin, moves).await
}

fn progress(total: usize, open: usize, copied: Option<(u64, u64)>) -> String {
    let partitions = format!("{} of {total} partitions moved", total - open.min(total));
    match copied {
        Some((copied, all)) if all > 0 => {
            format!("{partitions}, {:.1} of {:.1} MB copied", copied as f64 / 1e6, all as f64 / 1e6)
        }
        _ => partitions,
    }
}

async fn under_way(
    admin: &Admin,
    moves: &Moves,
) -> Result<BTreeMap<TopicPartition, Reassignment>, AdminError> {
    let mut under_way = admin.list_partition_reassignments(None).await?;
    under_way.retain(|partition, _| moves.contains_key(partition));
    Ok(under_way)
}

/// Bytes that the new replicas have, and that they will have.
async fn copied_bytes(admin: &Admin, moves: &Moves) -> Result<(u64, u64), AdminError> {
    let involved: BTreeSet<i32> =
        moves.values().flat_map(|m| m.before.iter().chain(&m.after)).copied().collect();
    let mut sizes: BTreeMap<(i32, TopicPartition), u64> = BTreeMap::new();
    for broker in involved {
        // A broker that is down has copied nothing that could be counted.
        let Ok(directories) = admin.describe_log_dirs(broker).await else { continue };
        for replica in directories.into_iter().flat_map(|directory| directory.replicas) {
            sizes.insert((broker, replica.partition), u64::try_from(replica.size_bytes).unwrap_or(0));
        }
    }
    let size = |broker: i32, partition: &TopicPartition| {
        sizes.get(&(broker, partition.clone())).copied().unwrap_or(0)
    };
    let (mut copied, mut all) = (0, 0);
    for (partition, m) in moves {
        let whole = m.before.iter().map(|id| size(*id, partition)).max().unwrap_or(0);
        for id in m.adding() {
            copied += size(id, partition).min(whole);
            all += whole;
        }
    }
    Ok((copied, all))
}

/// A move may have ended because somebody cancelled it.
async fn check_arrived(admin: &Admin, moves: &Moves) -> Result<(), Failure> {
    let outcomes = admin.describe_topics(topics(moves)).await?;
    // A topic that was deleted meanwhile has no replicas in a wrong place.
    let found = outcomes.into_iter().filter_map(|(_, topic)| topic.ok());
    let astray = found.flat_map(|topic| {
        let wrong = topic.partitions.iter().filter_map(|partition| {
            let name = TopicPartition::new(&topic.name, partition.index);
            let target: BTreeSet<_> = moves.get(&name)?.after.iter().collect();
            (partition.replicas.iter().collect::<BTreeSet<_>>() != target).then_some(name)
        });
        wrong.collect::<Vec<_>>()
    });
    let astray: Vec<String> = astray.map(|name| name.to_string()).collect();
    if astray.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the move ended elsewhere, cancelled or changed by somebody: {}",
        astray.join(", ")
    )))
}

/// Limits what the moves may take of the network: rates on the brokers, and on the topics which replicas they are for.
async fn set_throttles(admin: &Admin, moves: &Moves, rate: u64) -> Result<(), Failure> {
    let mut changes: Vec<(ConfigResource, Vec<AlterConfig>)> = Vec::new();
    for broker in brokers(moves) {
        let set = RATES.map(|name| set(name, rate.to_string()));
        changes.push((ConfigResource::broker(Some(broker)), set.into()));
    }
    for (topic, (leaders, followers)) in throttled_replicas(moves) {
        let lists = [set(THROTTLED[0], leaders), set(THROTTLED[1], followers)];
        changes.push((ConfigResource::topic(topic), lists.into()));
    }
    let outcomes = admin.alter_configs(&changes, false).await?;
    sort_out(outcomes, crate::config::resource::name_of).1
}

/// Takes the throttles of these moves away again.
async fn clear_throttles(admin: &Admin, moves: &Moves) -> Result<(), Failure> {
    clear(admin, (topics(moves), brokers(moves))).await
}

/// The topics and brokers of some moves that others have no part in.
fn without<'m>(moves: &'m Moves, others: &'m Moves) -> (BTreeSet<&'m str>, BTreeSet<i32>) {
    (&topics(moves) - &topics(others), &brokers(moves) - &brokers(others))
}

async fn clear(admin: &Admin, (topics, brokers): (BTreeSet<&str>, BTreeSet<i32>)) -> Result<(), Failure> {
    let delete = |name: &str| AlterConfig { name: name.to_owned(), change: ConfigChange::Delete };
    let topics = topics.into_iter().map(|topic| (ConfigResource::topic(topic), THROTTLED.map(delete).into()));
    let brokers = brokers.into_iter().map(|id| (ConfigResource::broker(Some(id)), RATES.map(delete).into()));
    let changes: Vec<(ConfigResource, Vec<AlterConfig>)> = topics.chain(brokers).collect();
    if changes.is_empty() {
        return Ok(());
    }
    let outcomes = admin.alter_configs(&changes, false).await?;
    sort_out(outcomes, crate::config::resource::name_of).1
}

fn topics(moves: &Moves) -> BTreeSet<&str> {
    moves.keys().map(|partition| &*partition.topic).collect()
}

fn brokers(moves: &Moves) -> BTreeSet<i32> {
    moves.values().flat_map(|m| m.before.iter().chain(&m.after)).copied().collect()
}

/// By topic, as partition:broker lists: those who are copied from, and those who copy.
fn throttled_replicas(moves: &Moves) -> BTreeMap<&str, (String, String)> {
    let mut lists: BTreeMap<&str, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for (name, m) in moves {
        let (leaders, followers) = lists.entry(&*name.topic).or_default();
        leaders.extend(m.before.iter().map(|id| format!("{}:{id}", name.partition)));
        followers.extend(m.adding().map(|id| format!("{}:{id}", name.partition)));
    }
    let joined = |(leaders, followers): (Vec<String>, Vec<String>)| (leaders.join(","), followers.join(","));
    lists.into_iter().map(|(topic, both)| (topic, joined(both))).collect()
}

fn set(name: &str, value: String) -> AlterConfig {
    AlterConfig { name: name.to_owned(), change: ConfigChange::Set(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(partitions: &[(&str, i32, &[i32])]) -> Assignment {
        let entry = |(topic, index, replicas): &(&str, i32, &[i32])| {
            (TopicPartition::new(topic, *index), replicas.to_vec())
        };
        partitions.iter().map(entry).collect()
    }

    #[test]
    fn only_what_changes_is_moved() {
        let current = assignment(&[("a", 0, &[1, 2]), ("a", 1, &[2, 1]), ("b", 0, &[1])]);
        let planned = assignment(&[("a", 0, &[1, 2]), ("a", 1, &[1, 2]), ("b", 0, &[3]), ("c", 0, &[1])]);
        let moves = moves(&current, &planned);
        assert_eq!(moves.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a-1", "b-0"]);
        let adding = |m: &Move| m.adding().collect::<Vec<_>>();
        assert_eq!(moves.values().map(adding).collect::<Vec<_>>(), [vec![], vec![3]]);
    }

    #[test]
    fn throttles_name_who_is_copied_from_and_who_copies() {
        let current = assignment(&[("a", 0, &[1, 2]), ("a", 1, &[2, 1])]);
        let planned = assignment(&[("a", 0, &[1, 3]), ("a", 1, &[3, 4])]);
        let moves = moves(&current, &planned);
        let expected = ("0:1,0:2,1:2,1:1".to_owned(), "0:3,1:3,1:4".to_owned());
        assert_eq!(throttled_replicas(&moves), BTreeMap::from([("a", expected)]));
        assert_eq!(brokers(&moves), BTreeSet::from([1, 2, 3, 4]));
    }

    #[test]
    fn throttles_of_moves_that_go_on_stay() {
        let reassignment = |replicas: &[i32], adding: &[i32], removing: &[i32]| Reassignment {
            replicas: replicas.to_vec(),
            adding: adding.to_vec(),
            removing: removing.to_vec(),
        };
        let cancelled = as_moves(BTreeMap::from([
            (TopicPartition::new("a", 0), reassignment(&[3, 1, 2], &[3], &[2])),
            (TopicPartition::new("b", 0), reassignment(&[4, 1], &[4], &[1])),
        ]));
        let first = Move { before: vec![1, 2], after: vec![3, 1] };
        assert_eq!(cancelled.get(&TopicPartition::new("a", 0)), Some(&first));
        let rest =
            as_moves(BTreeMap::from([(TopicPartition::new("b", 1), reassignment(&[4, 2], &[4], &[2]))]));
        assert_eq!(without(&cancelled, &rest), (BTreeSet::from(["a"]), BTreeSet::from([1, 3])));
    }

    #[test]
    fn progress_is_said_in_partitions_and_bytes() {
        assert_eq!(progress(5, 2, None), "3 of 5 partitions moved");
        assert_eq!(
            progress(5, 2, Some((1_500_000, 3_000_000))),
            "3 of 5 partitions moved, 1.5 of 3.0 MB copied"
        );
        assert_eq!(progress(1, 2, Some((0, 0))), "0 of 1 partitions moved");
    }
}
