//! Which brokers hold a new partition: striped over racks, then over the brokers of each rack, live brokers first.
//!
//! Each partition starts at the next rack, and each round over a rack starts at its next broker, so that leaders and followers spread
//! evenly; where it starts, and the order after all brokers have led once, are random.

use std::collections::BTreeMap;

/// A broker that may be given replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsableBroker {
    /// The node id.
    pub(crate) id: i32,
    /// Its rack.
    pub(crate) rack: Option<String>,
    /// Fenced brokers follow, but never lead.
    pub(crate) fenced: bool,
}

/// Why no placement exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PlacementError {
    /// Every broker is fenced, or has all its directories cordoned.
    NoLiveBroker,
    /// More replicas wanted than there are brokers.
    TooFewBrokers {
        /// Brokers that may be given replicas.
        brokers: usize,
    },
}

/// Source of random numbers.
pub(crate) type Random<'a> = &'a mut dyn FnMut() -> u64;

/// Replicas for each of `partitions` partitions, the leader first.
pub(crate) fn place(
    brokers: &[UsableBroker],
    partitions: usize,
    replicas: usize,
    random: Random<'_>,
) -> Result<Vec<Vec<i32>>, PlacementError> {
    if brokers.iter().all(|broker| broker.fenced) {
        return Err(PlacementError::NoLiveBroker);
    }
    if replicas > brokers.len() {
        return Err(PlacementError::TooFewBrokers { brokers: brokers.len() });
    }
    let mut racks = Racks::new(brokers, random);
    Ok((0..partitions).map(|_| racks.next_replicas(replicas, random)).collect())
}

/// Brokers of one rack and kind, handed out once a round.
#[derive(Default)]
struct BrokerRing {
    ids: Vec<i32>,
    offset: usize,
    taken: usize,
    round: usize,
}

impl BrokerRing {
    fn next(&mut self, round: usize) -> Option<i32> {
        if self.ids.is_empty() {
            return None;
        }
        if self.round != round {
            self.round = round;
            self.taken = 0;
            self.offset = (self.offset + 1) % self.ids.len();
        }
        let index = (self.taken < self.ids.len()).then(|| (self.taken + self.offset) % self.ids.len())?;
        self.taken += 1;
        Some(self.ids[index])
    }
}

#[derive(Default)]
struct Rack {
    live: BrokerRing,
    fenced: BrokerRing,
}

impl Rack {
    fn next(&mut self, round: usize) -> Option<i32> {
        self.live.next(round).or_else(|| self.fenced.next(round))
    }
}

struct Racks {
    racks: Vec<Rack>,
    live_count: usize,
    /// The rack the next partition starts at.
    offset: usize,
    round: usize,
}

impl Racks {
    fn new(brokers: &[UsableBroker], random: Random<'_>) -> Self {
        let mut by_name: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for broker in brokers {
            let rack = by_name.entry(broker.rack.as_deref()).or_default();
            let ring = if broker.fenced { &mut rack.fenced } else { &mut rack.live };
            ring.ids.push(broker.id);
        }
        let mut racks: Vec<_> = by_name.into_values().collect();
        for ring in racks.iter_mut().flat_map(|rack| [&mut rack.live, &mut rack.fenced]) {
            ring.ids.sort_unstable();
            ring.offset = below(ring.ids.len(), random);
        }
        let offset = below(racks.len(), random);
        let live_count = brokers.iter().filter(|broker| !broker.fenced).count();
        Self { racks, live_count, offset, round: 0 }
    }

    /// The caller has checked that there is a live broker, and a broker for each replica.
    fn next_replicas(&mut self, count: usize, random: Random<'_>) -> Vec<i32> {
        if self.round == self.live_count && self.live_count > 1 {
            self.shuffle(random);
            self.round = 0;
        }
        let (mut leader_rack, leader) = self.leader();
        let mut replicas = vec![leader];
        let mut rack = self.offset;
        while replicas.len() < count {
            // The leader's rack gets its second replica only after every other rack had its turn.
            if leader_rack == Some(rack) {
                leader_rack = None;
            } else {
                replicas.extend(self.racks[rack].next(self.round));
            }
            rack = (rack + 1) % self.racks.len();
        }
        self.round += 1;
        self.offset = (self.offset + 1) % self.racks.len();
        replicas
    }

    fn leader(&mut self) -> (Option<usize>, i32) {
        let count = self.racks.len();
        let mut in_order = (self.offset..self.offset + count).map(|index| index % count);
        let round = self.round;
        in_order
            .find_map(|index| self.racks[index].live.next(round).map(|id| (Some(index), id)))
            .expect("some broker is live, and each round hands out all")
    }

    fn shuffle(&mut self, random: Random<'_>) {
        shuffle(&mut self.racks, random);
        for rack in &mut self.racks {
            shuffle(&mut rack.live.ids, random);
            shuffle(&mut rack.fenced.ids, random);
        }
    }
}

/// A number below `bound`, 0 where that is 0.
fn below(bound: usize, random: Random<'_>) -> usize {
    (random() % bound.max(1) as u64) as usize
}

fn shuffle<T>(items: &mut [T], random: Random<'_>) {
    for index in (1..items.len()).rev() {
        items.swap(index, below(index + 1, random));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(id: i32, rack: &str, fenced: bool) -> UsableBroker {
        UsableBroker { id, rack: (!rack.is_empty()).then(|| rack.to_owned()), fenced }
    }

    fn placed(brokers: &[UsableBroker], partitions: usize, replicas: usize) -> Vec<Vec<i32>> {
        place(brokers, partitions, replicas, &mut || 0).unwrap()
    }

    #[test]
    fn one_broker_leads_everything() {
        assert_eq!(placed(&[broker(7, "", false)], 3, 1), [[7], [7], [7]]);
    }

    #[test]
    fn leaders_and_followers_are_striped() {
        let brokers: Vec<_> = (0..4).map(|id| broker(id, "", false)).collect();
        assert_eq!(placed(&brokers, 4, 3), [[0, 1, 2], [1, 2, 3], [2, 3, 0], [3, 0, 1]]);
    }

    #[test]
    fn racks_come_before_brokers() {
        let brokers =
            [broker(0, "a", false), broker(1, "a", false), broker(10, "b", false), broker(20, "c", false)];
        for replicas in placed(&brokers, 12, 3) {
            let mut racks: Vec<_> = replicas.iter().map(|id| id / 10).collect();
            racks.sort_unstable();
            assert_eq!(racks, [0, 1, 2], "{replicas:?}");
        }
    }

    #[test]
    fn fenced_brokers_follow_but_never_lead() {
        let brokers = [broker(1, "", true), broker(2, "", false), broker(3, "", false)];
        for replicas in placed(&brokers, 20, 3) {
            assert_ne!(replicas[0], 1, "{replicas:?}");
            let distinct: std::collections::BTreeSet<_> = replicas.iter().collect();
            assert_eq!(distinct.len(), 3, "{replicas:?}");
        }
    }

    #[test]
    fn impossible_placements() {
        let one = [broker(1, "", false)];
        let result = place(&one, 1, 2, &mut || 0);
        assert_eq!(result, Err(PlacementError::TooFewBrokers { brokers: 1 }));
        assert_eq!(place(&[broker(1, "", true)], 1, 1, &mut || 0), Err(PlacementError::NoLiveBroker));
        assert_eq!(place(&[], 1, 1, &mut || 0), Err(PlacementError::NoLiveBroker));
    }
}
