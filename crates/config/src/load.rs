//! From a file and a command line to the settings of a node.
//!
//! Without `process.roles` a node is broker and controller of its own, on loopback; a file then only adds to that.
//! All that is wrong is told at once, each with the place it comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::broker_config::BrokerConfig;
use crate::conflict::Conflict;
use crate::endpoint::HostPort;
use crate::layers::{Layers, Values};
use crate::names::{self, Name};
use crate::node_config::NodeConfig;
use crate::properties;
use crate::setting::{Setting, Status};
use crate::topic_config::did_you_mean;
use crate::value::InvalidValue;

/// What a user gives `klamm start`.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--config`: a file of settings.
    pub file: Option<PathBuf>,
    /// `--set key=value`, in order; the last counts.
    pub set: Vec<String>,
    /// `--data`: folder for data.
    pub data: Option<PathBuf>,
    /// `--listen`: where a node of its own listens, `host:port`.
    pub listen: Option<String>,
}

/// The settings of a node, complete and checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is set, for all later look-ups.
    pub layers: Layers,
    /// Who the node is and where it listens.
    pub node: NodeConfig,
    /// What it starts with.
    pub broker: BrokerConfig,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On this line of the file.
    File(PathBuf, usize),
    /// With this flag.
    Flag(&'static str),
    /// In Klamm's defaults for a node of its own.
    BuiltIn,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Flag(flag) => f.write_str(flag),
            Origin::BuiltIn => f.write_str("default"),
        }
    }
}

/// Something to know about a setting that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where it was made.
    pub origin: Origin,
    /// The setting.
    pub name: String,
    /// What to know.
    pub note: Note,
}

/// What there is to know about a setting that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// Klamm does not act on it yet.
    NotImplemented,
    /// What it tunes does not exist in Klamm.
    Moot,
    /// A plugin of Kafka's would read it, and Klamm has none.
    OfPlugin,
    /// Kafka no longer has it.
    Removed,
    /// It is made again further on, and that counts.
    Overridden,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, name, note } = self;
        write!(f, "{origin}: {name} {note}")
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotImplemented => "is not implemented yet and has no effect",
            Self::Moot => "has no effect: Klamm has nothing that it would tune",
            Self::OfPlugin => "is for a plugin and has no effect",
            Self::Removed => "no longer exists since Kafka 4.0 and has no effect",
            Self::Overridden => "is set again further on, and this value does not count",
        })
    }
}

impl Note {
    /// What there is to know about a setting whichever value it has; none where Klamm acts on it.
    pub fn of(setting: &Setting) -> Option<Self> {
        match setting.status {
            Status::Done => None,
            Status::Later => Some(Self::NotImplemented),
            Status::Moot => Some(Self::Moot),
        }
    }
}

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// `--set` without an equals sign.
    #[error("--set {text}: write it as name=value")]
    Set {
        /// What was given.
        text: String,
    },
    /// `--listen` without an address, or where it cannot be used.
    #[error("--listen {text}: {reason}")]
    Listen {
        /// What was given.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// No setting has this name.
    #[error("{origin}: there is no setting {name}{}", did_you_mean(*nearest))]
    Unknown {
        /// Where it was made.
        origin: Origin,
        /// The name.
        name: String,
        /// The name that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// The value is not valid.
    #[error("{origin}: {error}")]
    Value {
        /// Where it was made.
        origin: Origin,
        /// What is wrong.
        error: InvalidValue,
    },
    /// Values do not go together.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A file for a cluster that ZooKeeper coordinates.
    #[error(
        "{origin}: zookeeper.connect is of a cluster with ZooKeeper; since Kafka 4.0 a node needs process.roles"
    )]
    ZooKeeper {
        /// Where it was made.
        origin: Origin,
    },
}

/// All that is wrong with the settings, in the order it was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// What is wrong; never empty.
    pub problems: Vec<Problem>,
}

impl std::error::Error for LoadError {}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.problems.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl From<Problem> for LoadError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// Folder for data when neither file nor command line names one.
pub const DEFAULT_DATA_DIR: &str = "klamm-data";

/// Where a node of its own listens for clients; its controller listens on the next port.
const DEFAULT_LISTEN: &str = "127.0.0.1:9092";

/// A node of its own has one replica of everything.
const SINGLE_NODE: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("controller.listener.names", "CONTROLLER"),
    ("offsets.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.replication.factor", "1"),
];

/// Reads, completes and checks the settings of a node.
pub fn load(options: &Options) -> Result<Loaded, LoadError> {
    let mut made = Made::default();
    if let Some(path) = &options.file {
        made.read_file(path)?;
    }
    made.read_flags(options)?;
    made.complete(options.listen.as_deref())?;
    made.check_names_and_values()?;
    let values: Values = made.entries.into_iter().map(|(name, (value, _))| (name, value)).collect();
    let layers = Layers::new(values).map_err(|error| Problem::Value { origin: Origin::BuiltIn, error })?;
    let node = NodeConfig::new(&layers).map_err(Problem::from)?;
    let broker = BrokerConfig::new(&layers).map_err(Problem::from)?;
    broker.check_cordoned(&node.log_dirs).map_err(Problem::from)?;
    Ok(Loaded { layers, node, broker, warnings: made.warnings })
}

/// Settings made so far, the last value of each name, and where it comes from.
#[derive(Default)]
struct Made {
    entries: BTreeMap<String, (String, Origin)>,
    warnings: Vec<Warning>,
}

impl Made {
    fn read_file(&mut self, path: &Path) -> Result<(), Problem> {
        let failed = |reason: String| Problem::File { path: path.to_owned(), reason };
        let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        for property in properties::parse(&bytes).map_err(|error| failed(error.to_string()))? {
            let origin = Origin::File(path.to_owned(), property.line);
            let before = self.entries.insert(property.key.clone(), (property.value, origin));
            self.warnings.extend(before.map(|(_, origin)| Warning {
                origin,
                name: property.key,
                note: Note::Overridden,
            }));
        }
        Ok(())
    }

    fn read_flags(&mut self, options: &Options) -> Result<(), Problem> {
        if let Some(data) = &options.data {
            self.entries.remove("log.dir");
            self.put("log.dirs", &data.to_string_lossy(), Origin::Flag("--data"));
        }
        for text in &options.set {
            let (name, value) = text.split_once('=').ok_or_else(|| Problem::Set { text: text.clone() })?;
            self.put(name.trim(), value.trim(), Origin::Flag("--set"));
        }
        Ok(())
    }

    /// Adds what a node of its own needs, and the second name of its id.
    fn complete(&mut self, listen: Option<&str>) -> Result<(), Problem> {
        if !self.entries.contains_key("process.roles") {
            if let Some((_, origin)) = self.entries.get("zookeeper.connect") {
                return Err(Problem::ZooKeeper { origin: origin.clone() });
            }
            self.complete_single_node(listen)?;
        } else if let Some(text) = listen {
            let reason = "the settings name the node's roles; set listeners there".to_owned();
            return Err(Problem::Listen { text: text.to_owned(), reason });
        }
        for (name, other) in [("node.id", "broker.id"), ("broker.id", "node.id")] {
            if let Some((value, origin)) = self.entries.get(other).cloned() {
                self.entries.entry(name.to_owned()).or_insert((value, origin));
            }
        }
        Ok(())
    }

    fn complete_single_node(&mut self, listen: Option<&str>) -> Result<(), Problem> {
        if !self.entries.contains_key("broker.id") {
            self.put_missing("node.id", "1");
        }
        for (name, value) in SINGLE_NODE {
            self.put_missing(name, value);
        }
        if !self.entries.contains_key("log.dir") {
            self.put_missing("log.dirs", DEFAULT_DATA_DIR);
        }
        self.complete_listeners(listen)
    }

    fn complete_listeners(&mut self, listen: Option<&str>) -> Result<(), Problem> {
        let text = listen.unwrap_or(DEFAULT_LISTEN);
        let failed = |reason: String| Problem::Listen { text: text.to_owned(), reason };
        let client: HostPort =
            text.parse().map_err(|error: crate::endpoint::AddressError| failed(error.to_string()))?;
        if listen.is_some() && self.entries.contains_key("listeners") {
            return Err(failed("listeners is set as well; use one of them".to_owned()));
        }
        let controller = HostPort { host: "127.0.0.1".to_owned(), port: controller_port(client.port) };
        self.put_missing("listeners", &format!("PLAINTEXT://{client},CONTROLLER://{controller}"));
        if !self.entries.contains_key("controller.quorum.bootstrap.servers") {
            let id = ["node.id", "broker.id"].iter().find_map(|name| self.entries.get(*name));
            let id = id.map_or("1", |(value, _)| value.trim()).to_owned();
            self.put_missing("controller.quorum.voters", &format!("{id}@{controller}"));
        }
        Ok(())
    }

    fn put(&mut self, name: &str, value: &str, origin: Origin) {
        self.entries.insert(name.to_owned(), (value.to_owned(), origin));
    }

    fn put_missing(&mut self, name: &str, value: &str) {
        self.entries.entry(name.to_owned()).or_insert_with(|| (value.to_owned(), Origin::BuiltIn));
    }

    fn check_names_and_values(&mut self) -> Result<(), LoadError> {
        let mut problems = Vec::new();
        for (name, (value, origin)) in &self.entries {
            match check(name, value, origin) {
                Ok(Some(note)) if *origin != Origin::BuiltIn => {
                    self.warnings.push(Warning { origin: origin.clone(), name: name.clone(), note });
                }
                Ok(_) => {}
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(LoadError { problems }) }
    }
}

/// The port after the clients', and none in particular when they have none in particular.
fn controller_port(client: u16) -> u16 {
    match client {
        0 => 0,
        u16::MAX => u16::MAX - 1,
        port => port + 1,
    }
}

fn check(name: &str, value: &str, origin: &Origin) -> Result<Option<Note>, Problem> {
    match names::classify(name) {
        Name::Known(setting) => {
            let parsed =
                setting.parse(value).map_err(|error| Problem::Value { origin: origin.clone(), error })?;
            Ok(Note::of(setting).filter(|_| parsed != setting.default_value()))
        }
        Name::OfListener(setting) => {
            setting.parse(value).map_err(|mut error| {
                error.name = name.to_owned();
                Problem::Value { origin: origin.clone(), error }
            })?;
            Ok(Some(Note::NotImplemented))
        }
        Name::OfPlugin => Ok(Some(Note::OfPlugin)),
        Name::Removed => Ok(Some(Note::Removed)),
        Name::Unknown(nearest) => {
            Err(Problem::Unknown { origin: origin.clone(), name: name.to_owned(), nearest })
        }
    }
}
