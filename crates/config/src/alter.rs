//! Changes of settings at run time: what AlterConfigs and IncrementalAlterConfigs ask for, checked, and turned into the
//! values to write to the metadata log.

use crate::broker_config::BrokerConfig;
use crate::conflict::{Conflict, require};
use crate::layers::{Layers, Values};
use crate::names::{self, Name};
use crate::setting::{Kind, Mode, Scope, Setting};
use crate::table;
use crate::topic_config::{self, TopicConfig, TopicConfigError, did_you_mean};
use crate::value::{FromValue, InvalidValue, Value};

/// Whose settings change, and what they are checked against.
#[derive(Debug, Clone, Copy)]
pub enum Resource<'a> {
    /// A topic; with the settings of topics that set none.
    Topic(&'a TopicConfig),
    /// One broker; with its settings as they are.
    Broker(&'a Layers),
    /// All brokers; with the settings of one of them as they are.
    ClusterDefault(&'a Layers),
    /// A group; with a broker's settings.
    Group(&'a Layers),
    /// A client metrics subscription.
    ClientMetrics,
}

/// What is to happen to a setting; the numbers are those of IncrementalAlterConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It gets this value.
    Set,
    /// It goes back to what applies when it is not set.
    Delete,
    /// These entries are added to its list.
    Append,
    /// These entries are taken from its list.
    Subtract,
}

impl Operation {
    /// The operation of this number.
    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Set),
            1 => Some(Self::Delete),
            2 => Some(Self::Append),
            3 => Some(Self::Subtract),
            _ => None,
        }
    }
}

/// One change that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// The setting.
    pub name: &'a str,
    /// What is to happen.
    pub operation: Operation,
    /// The value, or the entries; not used to delete.
    pub value: Option<&'a str>,
}

/// One value to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The setting.
    pub name: String,
    /// Its new value; `None` deletes it.
    pub value: Option<String>,
}

/// Why a change is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlterError {
    /// A setting is there twice.
    #[error("{name} is changed twice in one request")]
    Twice {
        /// The setting.
        name: String,
    },
    /// The value is missing.
    #[error("{name} has no value; delete it to go back to its default")]
    Null {
        /// The setting.
        name: String,
    },
    /// The value does not fit into a record.
    #[error("the value of {name} is longer than {MAX_VALUE_SIZE} bytes")]
    TooLong {
        /// The setting.
        name: String,
    },
    /// Entries are added to, or taken from, what is no list.
    #[error("{name} is not a list: it can only be set or deleted")]
    NotAList {
        /// The setting.
        name: String,
    },
    /// No setting has this name.
    #[error("there is no setting {name}{}", did_you_mean(*nearest))]
    Unknown {
        /// The name.
        name: String,
        /// The name that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// It changes only with a restart.
    #[error("{name} cannot change while the broker runs: set it in the broker's file and restart it")]
    ReadOnly {
        /// The setting.
        name: String,
    },
    /// It is set for all brokers, but differs from broker to broker.
    #[error("{name} can only be set for one broker: name the broker's id")]
    PerBroker {
        /// The setting.
        name: String,
    },
    /// It changes at run time only for a listener.
    #[error("{name} can change while the broker runs only for a listener: listener.name.<listener>.{name}")]
    PerListener {
        /// The setting.
        name: String,
    },
    /// The value is not valid.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// The values do not go together.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

/// Longest value that is stored, in bytes.
pub const MAX_VALUE_SIZE: usize = i16::MAX as usize;

/// Thread counts change by no more than a factor of two at a time.
const THREAD_COUNTS: &[&str] = &[
    "background.threads",
    "log.cleaner.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
];

/// Kafka changes these at run time; Klamm's listeners are fixed once it runs.
const FIXED_LISTENERS: &[&str] = &["listeners", "listener.security.protocol.map"];

/// Turns IncrementalAlterConfigs into edits, in the order of the request: `current` is what is set for the resource.
///
/// A topic's or group's setting that keeps its value gets no edit; a broker's does, so that brokers read files anew
/// that the value names.
pub fn incremental(
    resource: Resource<'_>,
    current: &Values,
    changes: &[Change<'_>],
) -> Result<Vec<Edit>, AlterError> {
    check_twice(changes.iter().map(|change| change.name))?;
    let mut edits = Vec::with_capacity(changes.len());
    for change in changes {
        let before = current.get(change.name);
        let value = resource.changed(before, change)?;
        if before != value.as_ref() || resource.scope() == Scope::Broker {
            edits.push(Edit { name: change.name.to_owned(), value });
        }
    }
    resource.check(current, &edits)?;
    Ok(edits)
}

/// Turns AlterConfigs into edits: the resource has the given settings afterwards, and no others.
pub fn replace(
    resource: Resource<'_>,
    current: &Values,
    settings: &[(&str, Option<&str>)],
) -> Result<Vec<Edit>, AlterError> {
    check_twice(settings.iter().map(|(name, _)| *name))?;
    let mut edits = Vec::with_capacity(settings.len());
    for (name, value) in settings {
        let value = value.ok_or_else(|| AlterError::Null { name: (*name).to_owned() })?;
        if current.get(*name).map(String::as_str) != Some(value) || resource.scope() == Scope::Broker {
            edits.push(Edit { name: (*name).to_owned(), value: Some(value.to_owned()) });
        }
    }
    let gone = current.keys().filter(|name| settings.iter().all(|(kept, _)| kept != name));
    edits.extend(gone.map(|name| Edit { name: name.clone(), value: None }));
    resource.check(current, &edits)?;
    Ok(edits)
}

/// What is set after the edits.
pub fn apply(current: &Values, edits: &[Edit]) -> Values {
    let mut after = current.clone();
    for edit in edits {
        match &edit.value {
            Some(value) => after.insert(edit.name.clone(), value.clone()),
            None => after.remove(&edit.name),
        };
    }
    after
}

fn check_twice<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), AlterError> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(AlterError::Twice { name: pair[0].to_owned() }),
        None => Ok(()),
    }
}

impl Resource<'_> {
    fn scope(self) -> Scope {
        match self {
            Self::Topic(_) => Scope::Topic,
            Self::Broker(_) | Self::ClusterDefault(_) => Scope::Broker,
            Self::Group(_) => Scope::Group,
            Self::ClientMetrics => Scope::ClientMetrics,
        }
    }

    fn setting(self, name: &str) -> Result<&'static Setting, AlterError> {
        let unknown = |nearest| AlterError::Unknown { name: name.to_owned(), nearest };
        match (self.scope(), names::classify(name)) {
            (Scope::Broker, Name::Known(setting) | Name::OfListener(setting)) => Ok(setting),
            (Scope::Broker, Name::Unknown(nearest)) => Err(unknown(nearest)),
            (Scope::Broker, Name::OfPlugin | Name::Removed) => Err(unknown(None)),
            (scope, _) => table::find(scope, name).ok_or_else(|| unknown(table::nearest(scope, name))),
        }
    }

    fn changed(self, before: Option<&String>, change: &Change<'_>) -> Result<Option<String>, AlterError> {
        let name = || change.name.to_owned();
        let value = match (change.operation, change.value) {
            (Operation::Delete, _) => return Ok(None),
            (_, Some(value)) => value,
            (_, None) => return Err(AlterError::Null { name: name() }),
        };
        if change.operation == Operation::Set {
            return Ok(Some(value.to_owned()));
        }
        let setting = self.setting(change.name)?;
        if setting.kind != Kind::List {
            return Err(AlterError::NotAList { name: name() });
        }
        let before = before.map(String::as_str).or(setting.default_text()).unwrap_or_default();
        let mut list: Vec<_> = entries(before).collect();
        for entry in entries(value) {
            match change.operation {
                Operation::Append if !list.contains(&entry) => list.push(entry),
                Operation::Subtract => list.retain(|known| *known != entry),
                _ => {}
            }
        }
        Ok(Some(list.join(",")))
    }

    fn check(self, current: &Values, edits: &[Edit]) -> Result<(), AlterError> {
        for edit in edits {
            if let Some(value) = &edit.value {
                self.check_value(&edit.name, value)?;
            }
        }
        let after = apply(current, edits);
        match self {
            Self::Topic(defaults) => check_topic(defaults, &after),
            Self::Broker(layers) => check_broker(layers, &layers.with_dynamic(layers.cluster(), &after).0),
            Self::ClusterDefault(layers) => {
                check_broker(layers, &layers.with_dynamic(&after, layers.broker()).0)
            }
            Self::Group(layers) => Ok(check_group(layers, edits, &after)?),
            Self::ClientMetrics => Ok(()),
        }
    }

    fn check_value(self, name: &str, value: &str) -> Result<(), AlterError> {
        let setting = self.setting(name)?;
        let owned = || name.to_owned();
        if value.len() > MAX_VALUE_SIZE {
            return Err(AlterError::TooLong { name: owned() });
        }
        if setting.mode == Mode::ReadOnly || FIXED_LISTENERS.contains(&name) {
            return Err(AlterError::ReadOnly { name: owned() });
        }
        if setting.mode == Mode::PerBroker {
            if setting.name == name && name.starts_with("ssl.") {
                return Err(AlterError::PerListener { name: owned() });
            }
            if matches!(self, Self::ClusterDefault(_)) {
                return Err(AlterError::PerBroker { name: owned() });
            }
        }
        setting.parse(value)?;
        Ok(())
    }
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// Names of the topic's settings that are no longer known do not stand in the way of a change.
fn check_topic(defaults: &TopicConfig, after: &Values) -> Result<(), AlterError> {
    let known = |name: &str| table::find(Scope::Topic, name).is_some();
    let after = after.iter().filter(|(name, _)| known(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    match defaults.with_overrides(&after) {
        Ok(_) => Ok(()),
        Err(TopicConfigError::Unknown { name, nearest }) => Err(AlterError::Unknown { name, nearest }),
        Err(TopicConfigError::Value(error)) => Err(error.into()),
        Err(TopicConfigError::Conflict(error)) => Err(error.into()),
    }
}

fn check_broker(before: &Layers, after: &Layers) -> Result<(), AlterError> {
    for name in THREAD_COUNTS {
        let setting = table::known(Scope::Broker, name);
        let (old, new) = (i64::from_value(before.value(setting)), i64::from_value(after.value(setting)));
        require(new >= old / 2 && new <= old * 2, || {
            format!(
                "{name} can change by no more than a factor of two at a time: from {} to {}",
                old / 2,
                old * 2
            )
        })?;
    }
    BrokerConfig::new(after)?;
    Ok(())
}

fn check_group(layers: &Layers, edits: &[Edit], after: &Values) -> Result<(), Conflict> {
    for (name, value) in edits.iter().filter_map(|edit| Some((edit.name.as_str(), edit.value.as_ref()?))) {
        check_bounds(layers, name, value)?;
    }
    for kind in ["consumer", "share", "streams"] {
        let (session, heartbeat) =
            (format!("{kind}.session.timeout.ms"), format!("{kind}.heartbeat.interval.ms"));
        let number = |name: &str| group_value(layers, after, name);
        require(number(&session) > number(&heartbeat), || {
            format!("{session} must be greater than {heartbeat}")
        })?;
    }
    check_names(layers, after)
}

/// A group's `kind.what` lies between the broker's `group.kind.min.what` and `group.kind.max.what`, where there are any.
fn check_bounds(layers: &Layers, name: &str, value: &str) -> Result<(), Conflict> {
    let Some((kind, what)) = name.split_once('.') else { return Ok(()) };
    let what = what.strip_prefix("num.").unwrap_or(what);
    let bound = |which: &str| {
        let name = format!("group.{kind}.{which}.{what}");
        let setting = table::find(Scope::Broker, &name)?;
        Some((name, i64::from_value(layers.value(setting))))
    };
    let Ok(value) = value.trim().parse::<i64>() else { return Ok(()) };
    for (bound, is_met) in [(bound("min"), i64::ge as fn(&i64, &i64) -> bool), (bound("max"), i64::le)] {
        let Some((bound_name, bound)) = bound else { continue };
        require(is_met(&value, &bound), || {
            let side = if value < bound { "at least" } else { "at most" };
            format!("{name} ({value}) must be {side} {bound}, the broker's {bound_name}")
        })?;
    }
    Ok(())
}

fn check_names(layers: &Layers, after: &Values) -> Result<(), Conflict> {
    let known =
        Vec::<String>::from_value(layers.value(table::known(Scope::Broker, "group.streams.assignors")));
    if let Some(assignor) = after.get("streams.assignor.name") {
        require(known.contains(assignor), || {
            format!(
                "streams.assignor.name is {assignor}, but group.streams.assignors are {}",
                known.join(", ")
            )
        })?;
    }
    let topic = after.get("errors.deadletterqueue.topic.name").map_or("", String::as_str);
    require(!topic.starts_with("__"), || {
        format!("errors.deadletterqueue.topic.name ({topic}) must not start with __, as internal topics do")
    })
}

fn group_value(layers: &Layers, after: &Values, name: &str) -> i64 {
    let setting = table::known(Scope::Group, name);
    let own = after.get(name).and_then(|text| setting.parse(text).ok());
    match own.unwrap_or_else(|| topic_config::inherited(layers, setting)) {
        Value::Integer(number) => number,
        _ => 0,
    }
}
