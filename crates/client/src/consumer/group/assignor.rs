//! Assignors: how a group's leader shares partitions out. Pure functions of the members and the topics.
//!
//! `range` and `roundrobin` give what the Java client gives. The sticky assignor keeps to Java's contract (balanced,
//! then as little movement as possible, and under the cooperative protocol a partition is given away only after
//! its owner let go of it) but not to its tie-breaking, which no other member can observe.

use std::collections::{BTreeMap, BTreeSet};

use crate::TopicPartition;

/// The assignors this client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Per topic, contiguous ranges of partitions in member order.
    Range,
    /// All partitions of all topics dealt out in turn.
    RoundRobin,
    /// Balanced with few movements; members stop everything for a rebalance.
    Sticky,
    /// The same, but members keep what is not taken from them (KIP-429).
    CooperativeSticky,
}

/// One member as the leader sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// The coordinator's name for the member.
    pub(crate) id: String,
    /// `group.instance.id` of a static member.
    pub(crate) instance_id: Option<String>,
    /// Subscribed topics.
    pub(crate) topics: Vec<String>,
    /// What the member holds, if it said so.
    pub(crate) owned: Vec<TopicPartition>,
    /// The generation in which it got that; an older claim yields to a newer one.
    pub(crate) generation: i32,
}

impl Member {
    /// Static members first, by their lasting name, so that assignments survive restarts.
    fn order(&self) -> (bool, &str) {
        self.instance_id.as_deref().map_or((true, self.id.as_str()), |instance| (false, instance))
    }
}

/// Partitions by member id; every member has an entry.
pub(crate) type Assignment = BTreeMap<String, Vec<TopicPartition>>;

impl Assignor {
    /// All assignors.
    pub const ALL: [Self; 4] = [Self::Range, Self::RoundRobin, Self::Sticky, Self::CooperativeSticky];

    /// The protocol name in JoinGroup.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The Java class that a settings file may name instead.
    pub(crate) fn class_name(self) -> &'static str {
        match self {
            Self::Range => "RangeAssignor",
            Self::RoundRobin => "RoundRobinAssignor",
            Self::Sticky => "StickyAssignor",
            Self::CooperativeSticky => "CooperativeStickyAssignor",
        }
    }

    /// Whether members may keep their partitions through a rebalance.
    pub fn is_cooperative(self) -> bool {
        self == Self::CooperativeSticky
    }

    /// Shares the topics, given by partition count, out among the members.
    pub(crate) fn assign(self, members: &[Member], partition_counts: &BTreeMap<String, i32>) -> Assignment {
        let mut ordered: Vec<&Member> = members.iter().collect();
        ordered.sort_by(|a, b| a.order().cmp(&b.order()));
        match self {
            Self::Range => range(&ordered, partition_counts),
            Self::RoundRobin => round_robin(&ordered, partition_counts),
            Self::Sticky => sticky(&ordered, partition_counts),
            Self::CooperativeSticky => {
                let target = sticky(&ordered, partition_counts);
                without_transfers(target, members)
            }
        }
    }
}

fn empty_assignment(members: &[&Member]) -> Assignment {
    members.iter().map(|member| (member.id.clone(), Vec::new())).collect()
}

fn range(members: &[&Member], partition_counts: &BTreeMap<String, i32>) -> Assignment {
    let mut assignment = empty_assignment(members);
    for (topic, count) in partition_counts {
        let subscribers: Vec<_> = members.iter().filter(|member| member.topics.contains(topic)).collect();
        if subscribers.is_empty() {
            continue;
        }
        let (each, extra) = (*count as usize / subscribers.len(), *count as usize % subscribers.len());
        let mut next = 0;
        for (index, member) in subscribers.iter().enumerate() {
            let end = next + each + usize::from(index < extra);
            let range = (next..end).map(|partition| TopicPartition::new(topic, partition as i32));
            assignment.entry(member.id.clone()).or_default().extend(range);
            next = end;
        }
    }
    assignment
}

fn round_robin(members: &[&Member], partition_counts: &BTreeMap<String, i32>) -> Assignment {
    let mut assignment = empty_assignment(members);
    let mut turn = members.iter().cycle().peekable();
    for partition in subscribed_partitions(members, partition_counts) {
        while turn.peek().is_some_and(|member| !subscribes(member, &partition)) {
            turn.next();
        }
        if let Some(member) = turn.next() {
            assignment.entry(member.id.clone()).or_default().push(partition);
        }
    }
    assignment
}

fn subscribes(member: &Member, partition: &TopicPartition) -> bool {
    member.topics.iter().any(|topic| **topic == *partition.topic)
}

/// All partitions that at least one member wants, sorted.
fn subscribed_partitions<'a>(
    members: &'a [&Member],
    partition_counts: &'a BTreeMap<String, i32>,
) -> impl Iterator<Item = TopicPartition> + 'a {
    let wanted =
        partition_counts.iter().filter(|(topic, _)| members.iter().any(|m| m.topics.contains(*topic)));
    wanted.flat_map(|(topic, count)| (0..*count).map(move |partition| TopicPartition::new(topic, partition)))
}

/// Keeps valid claims, hands the rest to whoever has least, then evens out.
fn sticky(members: &[&Member], partition_counts: &BTreeMap<String, i32>) -> Assignment {
    let partitions: Vec<TopicPartition> = subscribed_partitions(members, partition_counts).collect();
    let mut held = kept_claims(members, &partitions);
    let taken: BTreeSet<TopicPartition> = held.iter().flatten().cloned().collect();
    for partition in partitions.into_iter().filter(|partition| !taken.contains(partition)) {
        let least = (0..members.len())
            .filter(|index| subscribes(members[*index], &partition))
            .min_by_key(|index| held[*index].len());
        if let Some(index) = least {
            held[index].push(partition);
        }
    }
    even_out(members, &mut held);
    members.iter().zip(held).map(|(member, partitions)| (member.id.clone(), sorted(partitions))).collect()
}

fn sorted(mut partitions: Vec<TopicPartition>) -> Vec<TopicPartition> {
    partitions.sort();
    partitions
}

/// What each member may keep: partitions that exist, that it still wants, and that nobody claims more recently.
/// Two claims of the same generation cancel each other out: neither is to be believed.
fn kept_claims(members: &[&Member], partitions: &[TopicPartition]) -> Vec<Vec<TopicPartition>> {
    let known: BTreeSet<&TopicPartition> = partitions.iter().collect();
    let mut claims: BTreeMap<&TopicPartition, (i32, Option<usize>)> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        for partition in member.owned.iter().filter(|p| known.contains(p) && subscribes(member, p)) {
            let claim = claims.entry(partition).or_insert((i32::MIN, None));
            match member.generation.cmp(&claim.0) {
                std::cmp::Ordering::Greater => *claim = (member.generation, Some(index)),
                std::cmp::Ordering::Equal => claim.1 = None,
                std::cmp::Ordering::Less => {}
            }
        }
    }
    let mut held = vec![Vec::new(); members.len()];
    for (partition, (_, owner)) in claims {
        if let Some(owner) = owner {
            held[owner].push(partition.clone());
        }
    }
    held
}

/// Moves partitions from the fullest to the emptiest member that wants them while that evens things out.
fn even_out(members: &[&Member], held: &mut [Vec<TopicPartition>]) {
    loop {
        let Some((from, at, to)) = best_move(members, held) else { return };
        let partition = held[from].remove(at);
        held[to].push(partition);
    }
}

/// A move that narrows a gap of two or more: from member, index in its list, to member.
fn best_move(members: &[&Member], held: &[Vec<TopicPartition>]) -> Option<(usize, usize, usize)> {
    let mut by_load: Vec<usize> = (0..held.len()).collect();
    by_load.sort_by_key(|index| held[*index].len());
    for from in by_load.iter().rev() {
        for to in by_load.iter().filter(|to| held[*from].len() >= held[**to].len() + 2) {
            // The last one was the latest to come: most likely not an old claim.
            let movable = held[*from].iter().rposition(|partition| subscribes(members[*to], partition));
            if let Some(at) = movable {
                return Some((*from, at, *to));
            }
        }
    }
    None
}

/// Takes out what another member still holds: it is handed over in the rebalance after its owner gave it up.
fn without_transfers(mut target: Assignment, members: &[Member]) -> Assignment {
    let owners = |partition: &TopicPartition, except: &str| {
        members.iter().any(|member| member.id != except && member.owned.contains(partition))
    };
    for (id, partitions) in &mut target {
        let own: BTreeSet<_> = members.iter().filter(|m| m.id == *id).flat_map(|m| &m.owned).collect();
        partitions.retain(|partition| own.contains(partition) || !owners(partition, id));
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, topics: &[&str]) -> Member {
        Member {
            id: id.to_owned(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            generation: -1,
            ..Member::default()
        }
    }

    fn counts(topics: &[(&str, i32)]) -> BTreeMap<String, i32> {
        topics.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
    }

    /// `a: t0 t1; b: u0`
    fn show(assignment: &Assignment) -> String {
        let members = assignment.iter().map(|(id, partitions)| {
            let list: Vec<String> =
                partitions.iter().map(|p| format!("{}{}", p.topic, p.partition)).collect();
            format!("{id}: {}", list.join(" "))
        });
        members.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn range_and_roundrobin_tables() {
        let both = ["t", "u"];
        let cases = [
            (Assignor::Range, vec![member("a", &both), member("b", &both)], "a: t0 t1 u0 u1; b: t2 u2"),
            (Assignor::RoundRobin, vec![member("a", &both), member("b", &both)], "a: t0 t2 u1; b: t1 u0 u2"),
            (
                Assignor::Range,
                vec![member("a", &["t"]), member("b", &both), member("c", &["u"])],
                "a: t0 t1; b: t2 u0 u1; c: u2",
            ),
            (
                Assignor::RoundRobin,
                vec![member("a", &["t"]), member("b", &both), member("c", &["u"])],
                "a: t0 t2; b: t1 u0 u2; c: u1",
            ),
            (Assignor::Range, vec![member("a", &["missing"])], "a: "),
            (Assignor::RoundRobin, vec![member("a", &["missing"])], "a: "),
        ];
        for (assignor, members, expected) in cases {
            let assignment = assignor.assign(&members, &counts(&[("t", 3), ("u", 3)]));
            assert_eq!(show(&assignment), expected, "{assignor:?} {members:?}");
        }
    }

    #[test]
    fn static_members_come_first_in_order_of_their_instance() {
        let mut members = vec![member("a", &["t"]), member("b", &["t"]), member("c", &["t"])];
        members[2].instance_id = Some("1".to_owned());
        members[1].instance_id = Some("2".to_owned());
        let assignment = Assignor::Range.assign(&members, &counts(&[("t", 4)]));
        assert_eq!(show(&assignment), "a: t3; b: t2; c: t0 t1");
    }

    fn owning(mut member: Member, generation: i32, partitions: &[(&str, i32)]) -> Member {
        member.owned = partitions.iter().map(|(topic, p)| TopicPartition::new(topic, *p)).collect();
        member.generation = generation;
        member
    }

    #[test]
    fn sticky_moves_as_little_as_balance_allows() {
        let a = owning(member("a", &["t"]), 3, &[("t", 0), ("t", 1), ("t", 2), ("t", 3)]);
        let assignment = Assignor::Sticky.assign(&[a.clone(), member("b", &["t"])], &counts(&[("t", 4)]));
        assert_eq!(show(&assignment), "a: t0 t1; b: t2 t3");
        let stale = owning(member("b", &["t"]), 2, &[("t", 0), ("t", 1)]);
        let assignment = Assignor::Sticky.assign(&[a, stale], &counts(&[("t", 4)]));
        assert_eq!(show(&assignment), "a: t0 t1; b: t2 t3");
        let doubtful = [
            owning(member("a", &["t"]), 1, &[("t", 0)]),
            owning(member("b", &["t"]), 1, &[("t", 0), ("t", 1)]),
        ];
        assert_eq!(show(&Assignor::Sticky.assign(&doubtful, &counts(&[("t", 2)]))), "a: t0; b: t1");
    }

    #[test]
    fn cooperative_hands_over_in_two_steps() {
        let a = owning(member("a", &["t"]), 1, &[("t", 0), ("t", 1)]);
        let b = member("b", &["t"]);
        let topics = counts(&[("t", 2)]);
        let first = Assignor::CooperativeSticky.assign(&[a, b.clone()], &topics);
        assert_eq!(show(&first), "a: t0; b: ");
        let a = owning(member("a", &["t"]), 2, &[("t", 0)]);
        let second = Assignor::CooperativeSticky.assign(&[a, b], &topics);
        assert_eq!(show(&second), "a: t0; b: t1");
    }

    #[test]
    fn sticky_balances_whatever_it_is_given() {
        for seed in 0..200_usize {
            let members: Vec<Member> = (0..1 + seed % 6)
                .map(|m| {
                    let claims: Vec<(&str, i32)> = (0..8)
                        .filter(|p| (seed * 31 + m * 17 + p * 7) % 5 == 0)
                        .map(|p| ("t", p as i32))
                        .collect();
                    owning(member(&format!("m{m}"), &["t"]), (seed % 3) as i32, &claims)
                })
                .collect();
            let assignment = Assignor::Sticky.assign(&members, &counts(&[("t", 8)]));
            let mut all: Vec<_> = assignment.values().flatten().cloned().collect();
            all.sort();
            assert_eq!(all, (0..8).map(|p| TopicPartition::new("t", p)).collect::<Vec<_>>(), "seed {seed}");
            let sizes: Vec<usize> = assignment.values().map(Vec::len).collect();
            let (least, most) = (sizes.iter().min(), sizes.iter().max());
            assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "seed {seed}: {sizes:?}");
        }
    }
}
