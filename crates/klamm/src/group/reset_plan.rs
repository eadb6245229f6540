//! Where a group's offsets go when they are reset. Pure: what is known about a partition in, its new offset out.

/// What the offsets are reset to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    Earliest,
    Latest,
    /// Where they are, or the end where there is none.
    Current,
    Offset(i64),
    /// So many records forwards, or backwards where negative.
    ShiftBy(i64),
    /// The first record at or after a time, in milliseconds since 1970; the end where there is none.
    Time(i64),
}

/// What is known about one partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PartitionState {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) committed: Option<i64>,
    pub(crate) earliest: i64,
    pub(crate) latest: i64,
    /// The first offset at or after the target's time, where the target is one and there is one.
    pub(crate) at_time: Option<i64>,
}

/// One line of the plan.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reset {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) before: Option<i64>,
    pub(crate) after: i64,
}

/// Shifting needs something to shift.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error(
    "{topic}-{partition} has no committed offset to shift; leave it out with --topic, or use another target"
)]
pub(crate) struct NothingToShift {
    topic: String,
    partition: i32,
}

/// The plan for all partitions, in order of topic and partition. Offsets stay within what the partitions hold.
pub(crate) fn plan(
    target: Target,
    mut partitions: Vec<PartitionState>,
) -> Result<Vec<Reset>, NothingToShift> {
    partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    partitions.into_iter().map(|state| reset(target, state)).collect()
}

fn reset(target: Target, state: PartitionState) -> Result<Reset, NothingToShift> {
    let wanted = match target {
        Target::Earliest => state.earliest,
        Target::Latest => state.latest,
        Target::Current => state.committed.unwrap_or(state.latest),
        Target::Offset(offset) => offset,
        Target::Time(_) => state.at_time.unwrap_or(state.latest),
        Target::ShiftBy(distance) => match state.committed {
            Some(committed) => committed.saturating_add(distance),
            None => return Err(NothingToShift { topic: state.topic, partition: state.partition }),
        },
    };
    let after = wanted.min(state.latest).max(state.earliest);
    Ok(Reset { topic: state.topic, partition: state.partition, before: state.committed, after })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(committed: Option<i64>, at_time: Option<i64>) -> PartitionState {
        PartitionState { topic: "t".into(), partition: 0, committed, earliest: 10, latest: 100, at_time }
    }

    #[test]
    fn targets() {
        let table = [
            (Target::Earliest, state(Some(50), None), 10),
            (Target::Latest, state(None, None), 100),
            (Target::Current, state(Some(50), None), 50),
            (Target::Current, state(None, None), 100),
            (Target::Offset(42), state(None, None), 42),
            (Target::Offset(0), state(None, None), 10),
            (Target::Offset(1000), state(None, None), 100),
            (Target::ShiftBy(-5), state(Some(50), None), 45),
            (Target::ShiftBy(5), state(Some(50), None), 55),
            (Target::ShiftBy(i64::MIN), state(Some(50), None), 10),
            (Target::ShiftBy(i64::MAX), state(Some(50), None), 100),
            (Target::Time(0), state(Some(50), Some(33)), 33),
            (Target::Time(0), state(Some(50), None), 100),
        ];
        for (target, state, after) in table {
            assert_eq!(plan(target, vec![state]).unwrap()[0].after, after, "{target:?}");
        }
    }

    #[test]
    fn shifting_nothing_is_refused() {
        assert!(plan(Target::ShiftBy(1), vec![state(None, None)]).is_err());
    }

    #[test]
    fn the_plan_is_in_order() {
        let at = |topic: &str, partition| PartitionState {
            topic: topic.into(),
            partition,
            ..PartitionState::default()
        };
        let plan = plan(Target::Earliest, vec![at("b", 0), at("a", 10), at("a", 2)]).unwrap();
        let order: Vec<_> = plan.iter().map(|reset| (reset.topic.as_str(), reset.partition)).collect();
        assert_eq!(order, [("a", 2), ("a", 10), ("b", 0)]);
    }
}
