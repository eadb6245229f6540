//! Where replicas go: a pure plan over brokers, racks and what they hold already.
//!
//! As little as possible moves: replicas on brokers that stay allowed stay where they are. What has to move goes to the
//! allowed broker with the fewest replicas, on a rack the partition is not on yet where there is one. Leaders are
//! spread by the order of the replicas: the first is the preferred one.

use std::collections::{BTreeMap, BTreeSet};

use klamm_client::TopicPartition;

/// A broker that replicas may be on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) rack: Option<String>,
    /// Whether replicas that are not there yet may come. One that is down keeps what it has, and gets nothing new.
    pub(crate) takes_more: bool,
}

/// Brokers by id.
pub(crate) type Places = BTreeMap<i32, Place>;

/// How many replicas each broker holds.
pub(crate) type Load = BTreeMap<i32, usize>;

/// The replicas of partitions, the preferred leader first.
pub(crate) type Assignment = BTreeMap<TopicPartition, Vec<i32>>;

/// A partition that needs more brokers than there are.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{partition} has {replicas} replicas, and there are {brokers} brokers for them")]
pub(crate) struct TooFewBrokers {
    partition: TopicPartition,
    replicas: usize,
    brokers: usize,
}

pub(crate) fn load_of(assignment: &Assignment) -> Load {
    let mut load = Load::new();
    for id in assignment.values().flatten() {
        *load.entry(*id).or_default() += 1;
    }
    load
}

/// New replicas of these partitions on these brokers; `replicas` of each, or as many as it has.
pub(crate) fn place(
    current: &Assignment,
    places: &Places,
    mut load: Load,
    replicas: Option<usize>,
) -> Result<Assignment, TooFewBrokers> {
    let mut leads = Load::new();
    let mut planned = Assignment::new();
    for (partition, before) in current {
        let count = replicas.unwrap_or(before.len());
        let after = place_one(before, places, count, &mut load);
        if after.len() < count {
            let partition = partition.clone();
            return Err(TooFewBrokers { partition, replicas: count, brokers: after.len() });
        }
        let after = match after.first() == before.first() {
            true => after,
            false => led_by_the_least(after, &leads),
        };
        if let Some(leader) = after.first() {
            *leads.entry(*leader).or_default() += 1;
        }
        planned.insert(partition.clone(), after);
    }
    Ok(planned)
}

/// Fewer than `count` where there are not enough brokers.
fn place_one(before: &[i32], places: &Places, count: usize, load: &mut Load) -> Vec<i32> {
    let mut after: Vec<i32> = before.iter().copied().filter(|id| places.contains_key(id)).collect();
    for dropped in after.split_off(count.min(after.len())) {
        load.entry(dropped).and_modify(|held| *held = held.saturating_sub(1));
    }
    while after.len() < count {
        let racks: BTreeSet<_> = after.iter().filter_map(|id| places[id].rack.as_ref()).collect();
        let crowded = |place: &Place| place.rack.as_ref().is_some_and(|rack| racks.contains(rack));
        let free = places.iter().filter(|(id, place)| place.takes_more && !after.contains(id));
        let held = |id: &i32| load.get(id).copied().unwrap_or(0);
        let best = free.min_by_key(|(id, place)| (crowded(place), held(id), **id));
        let Some((&chosen, _)) = best else { break };
        *load.entry(chosen).or_default() += 1;
        after.push(chosen);
    }
    after
}

/// The same replicas with the one in front that leads the least.
fn led_by_the_least(mut replicas: Vec<i32>, leads: &Load) -> Vec<i32> {
    let least = (0..replicas.len()).min_by_key(|at| leads.get(&replicas[*at]).copied().unwrap_or(0));
    if let Some(at) = least {
        replicas[..=at].rotate_right(1);
    }
    replicas
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(racks: &[(i32, &str)]) -> Places {
        let place =
            |rack: &str| Place { rack: (!rack.is_empty()).then(|| rack.to_owned()), takes_more: true };
        racks.iter().map(|(id, rack)| (*id, place(rack))).collect()
    }

    fn placed(
        current: &Assignment,
        places: &Places,
        replicas: Option<usize>,
    ) -> Result<Assignment, TooFewBrokers> {
        place(current, places, load_of(current), replicas)
    }

    fn assignment(partitions: &[&[i32]]) -> Assignment {
        let name = |index| TopicPartition::new("t", index);
        (0..).zip(partitions).map(|(index, replicas)| (name(index), replicas.to_vec())).collect()
    }

    #[test]
    fn what_may_stay_stays() {
        let current = assignment(&[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]]);
        let four = places(&[(1, ""), (2, ""), (4, "")]);
        let planned = placed(&current, &four, None).expect("enough brokers");
        assert_eq!(planned, assignment(&[&[1, 2, 4], &[2, 1, 4], &[4, 1, 2]]));
    }

    #[test]
    fn moves_go_to_who_holds_least_and_leaders_are_spread() {
        let current = assignment(&[&[9], &[9], &[9], &[9], &[1]]);
        let planned = placed(&current, &places(&[(1, ""), (2, "")]), None).expect("enough brokers");
        assert_eq!(planned, assignment(&[&[2], &[1], &[2], &[1], &[1]]));
        let current = assignment(&[&[9, 1], &[9, 1], &[9, 1]]);
        let planned = placed(&current, &places(&[(1, ""), (2, "")]), None).expect("enough brokers");
        assert_eq!(planned, assignment(&[&[1, 2], &[2, 1], &[1, 2]]));
    }

    #[test]
    fn racks_are_kept_apart_where_there_are_enough() {
        let current = assignment(&[&[1, 9]]);
        let racks = places(&[(1, "a"), (2, "a"), (3, "b")]);
        assert_eq!(placed(&current, &racks, None), Ok(assignment(&[&[1, 3]])));
        assert_eq!(placed(&current, &racks, Some(3)), Ok(assignment(&[&[1, 3, 2]])));
    }

    #[test]
    fn the_number_of_replicas_can_change_and_has_to_be_possible() {
        let current = assignment(&[&[1, 2, 3]]);
        let three = places(&[(1, ""), (2, ""), (3, "")]);
        assert_eq!(placed(&current, &three, Some(2)), Ok(assignment(&[&[1, 2]])));
        let error = placed(&current, &three, Some(4)).expect_err("too many");
        assert_eq!(error.to_string(), "t-0 has 4 replicas, and there are 3 brokers for them");
    }

    #[test]
    fn who_is_down_keeps_what_it_has_and_gets_nothing() {
        let mut three = places(&[(1, ""), (2, ""), (3, "")]);
        three.insert(2, Place { rack: None, takes_more: false });
        let current = assignment(&[&[9, 2], &[9, 1]]);
        assert_eq!(placed(&current, &three, None), Ok(assignment(&[&[2, 3], &[1, 3]])));
    }
}
