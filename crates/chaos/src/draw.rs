//! The schedule: faults drawn from a seed.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;

/// What is done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// SIGKILL, and a start some time later.
    Kill,
    /// SIGKILL of all nodes at once.
    KillAll,
    /// SIGTERM, and a start as soon as it is gone.
    Restart,
    /// SIGSTOP, and SIGCONT some time later.
    Pause,
    /// SIGKILL, and a start with an empty disk.
    Wipe,
    /// All connections to and from other nodes are reset, and new ones refused.
    Isolate,
    /// Nothing passes to or from other nodes, and nobody is told.
    Silence,
    /// What the node sends to others does not arrive.
    Mute,
    /// What others send to the node does not arrive.
    Deafen,
    /// Connections with one other node are reset, and new ones refused.
    Part,
    /// No byte can be written to the node's disk.
    FullDisk,
}

impl Kind {
    pub(crate) const ALL: &[Self] = &[
        Self::Kill,
        Self::KillAll,
        Self::Restart,
        Self::Pause,
        Self::Wipe,
        Self::Isolate,
        Self::Silence,
        Self::Mute,
        Self::Deafen,
        Self::Part,
        Self::FullDisk,
    ];

    /// How long it may last, in milliseconds. Both sides of the brokers' session time-out are in it.
    fn duration_ms(self) -> (u64, u64) {
        match self {
            Self::Kill | Self::KillAll | Self::Wipe => (0, 8_000),
            Self::Restart => (0, 0),
            Self::FullDisk => (1_000, 5_000),
            _ => (200, 10_000),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

/// A fault that was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Draw {
    pub(crate) kind: Kind,
    /// The node it happens to, from 1.
    pub(crate) node: u16,
    /// Another node, for what happens between two.
    pub(crate) other: u16,
    /// From the fault until it is mended.
    pub(crate) lasts: Duration,
    /// From the moment all is in sync until the fault.
    pub(crate) after: Duration,
}

/// Draws from a seed (SplitMix64).
pub(crate) struct Draws {
    state: u64,
    nodes: u16,
    kinds: Vec<Kind>,
}

impl Draws {
    pub(crate) fn new(seed: u64, nodes: u16, kinds: Vec<Kind>) -> Self {
        Self { state: seed, nodes, kinds }
    }

    pub(crate) fn draw(&mut self) -> Draw {
        let kind = self.below(self.kinds.len() as u64) as usize;
        let kind = self.kinds[kind];
        let node = self.below(self.nodes.into()) as u16;
        let distance = 1 + self.below(u64::from(self.nodes) - 1) as u16;
        let (least, most) = kind.duration_ms();
        Draw {
            kind,
            node: node + 1,
            other: (node + distance) % self.nodes + 1,
            lasts: Duration::from_millis(least + self.below(most - least + 1)),
            after: Duration::from_millis(self.below(2_000)),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_every_kind_comes() {
        let draw = |seed| {
            let mut draws = Draws::new(seed, 3, Kind::ALL.to_vec());
            (0..200).map(|_| draws.draw()).collect::<Vec<_>>()
        };
        let drawn = draw(7);
        assert_eq!(drawn, draw(7));
        assert_ne!(drawn, draw(8));
        assert!(Kind::ALL.iter().all(|kind| drawn.iter().any(|draw| draw.kind == *kind)));
        for draw in drawn {
            assert!((1..=3).contains(&draw.node) && (1..=3).contains(&draw.other) && draw.node != draw.other);
            let (least, most) = draw.kind.duration_ms();
            assert!((least..=most).contains(&(draw.lasts.as_millis() as u64)), "{draw:?}");
        }
    }
}
