//! Who votes: replicas by id and directory, and the set of them in force.

use std::collections::BTreeMap;

use klamm_protocol::Uuid;
use klamm_protocol::messages::voters_record::{
    Endpoint as RecordEndpoint, KRaftVersionFeature, Voter, VotersRecord,
};

/// A replica of the metadata log. With `kraft.version` 0 nobody knows the others' directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaKey {
    /// The node id.
    pub id: i32,
    /// The directory that holds its log; a replica that lost its disk comes back as another one (KIP-853).
    pub directory_id: Option<Uuid>,
}

impl ReplicaKey {
    /// A replica by id alone.
    pub fn of_id(id: i32) -> Self {
        Self { id, directory_id: None }
    }

    /// A replica by id and directory; the zero id stands for an unknown directory.
    pub fn new(id: i32, directory_id: Uuid) -> Self {
        Self { id, directory_id: (directory_id != Uuid::ZERO).then_some(directory_id) }
    }

    /// The directory as messages carry it.
    pub fn directory_or_zero(self) -> Uuid {
        self.directory_id.unwrap_or(Uuid::ZERO)
    }

    /// Whether both name one replica, as far as their directories are known.
    pub fn matches(self, other: Self) -> bool {
        let same_directory = match (self.directory_id, other.directory_id) {
            (Some(one), Some(two)) => one == two,
            _ => true,
        };
        self.id == other.id && same_directory
    }
}

/// Where a voter listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterEndpoint {
    /// Listener name, as in `CONTROLLER`.
    pub name: String,
    /// Host that others dial.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// One voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterNode {
    /// Which replica it is.
    pub key: ReplicaKey,
    /// Where it listens.
    pub endpoints: Vec<VoterEndpoint>,
    /// The levels of `kraft.version` it supports, lowest and highest.
    pub kraft_versions: (i16, i16),
}

impl VoterNode {
    /// Whether it can run at a level of `kraft.version`.
    pub fn supports(&self, level: i16) -> bool {
        let (min, max) = self.kraft_versions;
        (min..=max).contains(&level)
    }
}

/// The voters in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoterSet {
    voters: BTreeMap<i32, VoterNode>,
}

impl VoterSet {
    /// A set of these voters; of two with one id the later stays.
    pub fn new(voters: impl IntoIterator<Item = VoterNode>) -> Self {
        Self { voters: voters.into_iter().map(|voter| (voter.key.id, voter)).collect() }
    }

    /// The set a VotersRecord describes.
    pub fn from_record(record: &VotersRecord<'_>) -> Self {
        let endpoint = |endpoint: &RecordEndpoint<'_>| VoterEndpoint {
            name: endpoint.name.to_string(),
            host: endpoint.host.to_string(),
            port: endpoint.port,
        };
        let levels =
            |feature: &KRaftVersionFeature| (feature.min_supported_version, feature.max_supported_version);
        Self::new(record.voters.iter().map(|voter| VoterNode {
            key: ReplicaKey::new(voter.voter_id, voter.voter_directory_id),
            endpoints: voter.endpoints.iter().map(endpoint).collect(),
            kraft_versions: levels(&voter.kraft_version_feature),
        }))
    }

    /// The record that describes the set.
    pub fn to_record(&self) -> VotersRecord<'static> {
        let endpoint = |endpoint: &VoterEndpoint| RecordEndpoint {
            name: endpoint.name.clone().into(),
            host: endpoint.host.clone().into(),
            port: endpoint.port,
        };
        let voter = |voter: &VoterNode| Voter {
            voter_id: voter.key.id,
            voter_directory_id: voter.key.directory_or_zero(),
            endpoints: voter.endpoints.iter().map(endpoint).collect(),
            kraft_version_feature: KRaftVersionFeature {
                min_supported_version: voter.kraft_versions.0,
                max_supported_version: voter.kraft_versions.1,
            },
        };
        VotersRecord { version: 0, voters: self.voters.values().map(voter).collect() }
    }

    /// Whether the replica is one of the voters.
    pub fn contains(&self, key: ReplicaKey) -> bool {
        self.get(key.id).is_some_and(|voter| voter.key.matches(key))
    }

    /// A voter by node id.
    pub fn get(&self, id: i32) -> Option<&VoterNode> {
        self.voters.get(&id)
    }

    /// The voters by node id.
    pub fn iter(&self) -> impl Iterator<Item = &VoterNode> + '_ {
        self.voters.values()
    }

    /// The voters' node ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = i32> + '_ {
        self.voters.keys().copied()
    }

    /// How many voters there are.
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    /// Whether nobody votes.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// How many votes decide.
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// The set without a voter.
    pub fn without(&self, id: i32) -> Self {
        let mut voters = self.voters.clone();
        voters.remove(&id);
        Self { voters }
    }

    /// The set with a voter added, or its description replaced.
    pub fn with(&self, node: VoterNode) -> Self {
        let mut voters = self.voters.clone();
        voters.insert(node.key.id, node);
        Self { voters }
    }
}
