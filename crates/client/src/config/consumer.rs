//! The consumer's settings.

use super::client::{self, HasClient};
use super::{ClientConfig, ConfigError, Setting, parse, set_in};
use crate::consumer::group::assignor::Assignor;

/// `auto.offset.reset`: where to start without a committed offset, or when it no longer exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoOffsetReset {
    /// The oldest record there is.
    Earliest,
    /// Only records that arrive from now on.
    Latest,
    /// Records not older than this (KIP-1106).
    ByDuration {
        /// Age in milliseconds.
        ms: i64,
    },
    /// Fail with an error.
    None,
}

/// `isolation.level`: whether records of aborted and open transactions are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationLevel {
    /// All records.
    ReadUncommitted,
    /// Records of committed transactions, up to the first open one.
    ReadCommitted,
}

impl IsolationLevel {
    /// The value on the wire.
    pub fn code(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// Settings of a [`Consumer`](crate::Consumer).
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerConfig {
    /// The settings common to all clients.
    pub client: ClientConfig,
    /// `group.id`: needed to subscribe and to commit.
    pub group_id: Option<String>,
    /// `group.instance.id`: makes the member static (KIP-345).
    pub group_instance_id: Option<String>,
    /// `partition.assignment.strategy`, the most wanted first.
    pub assignors: Vec<Assignor>,
    /// `session.timeout.ms`: without a heartbeat for so long the member is out.
    pub session_timeout_ms: i32,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i64,
    /// `max.poll.interval.ms`: a consumer not polled for so long leaves the group; also the rebalance timeout.
    pub max_poll_interval_ms: i32,
    /// `enable.auto.commit`.
    pub enable_auto_commit: bool,
    /// `auto.commit.interval.ms`.
    pub auto_commit_interval_ms: i64,
    /// `auto.offset.reset`.
    pub auto_offset_reset: AutoOffsetReset,
    /// `isolation.level`.
    pub isolation_level: IsolationLevel,
    /// `fetch.min.bytes`: a fetch waits until so much is there.
    pub fetch_min_bytes: i32,
    /// `fetch.max.bytes`: of one response, unless its first batch is larger.
    pub fetch_max_bytes: i32,
    /// `fetch.max.wait.ms`: how long a fetch may wait for `fetch.min.bytes`.
    pub fetch_max_wait_ms: i32,
    /// `max.partition.fetch.bytes`: of one partition in a response, unless its first batch is larger.
    pub max_partition_fetch_bytes: i32,
    /// `allow.auto.create.topics`.
    pub allow_auto_create_topics: bool,
    /// `check.crcs`.
    pub check_crcs: bool,
    /// `enable.partition.eof` (librdkafka's): reports the end of a partition when it is reached.
    pub enable_partition_eof: bool,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            client: ClientConfig::default(),
            group_id: None,
            group_instance_id: None,
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 3_000,
            max_poll_interval_ms: 300_000,
            enable_auto_commit: true,
            auto_commit_interval_ms: 5_000,
            auto_offset_reset: AutoOffsetReset::Latest,
            isolation_level: IsolationLevel::ReadUncommitted,
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 << 20,
            fetch_max_wait_ms: 500,
            max_partition_fetch_bytes: 1 << 20,
            allow_auto_create_topics: true,
            check_crcs: true,
            enable_partition_eof: false,
        }
    }
}

impl HasClient for ConsumerConfig {
    fn client_mut(&mut self) -> &mut ClientConfig {
        &mut self.client
    }
}

const SETTINGS: &[Setting<ConsumerConfig>] = &[
    Setting { name: "group.id", set: |c, v| name(v).map(|v| c.group_id = Some(v)) },
    Setting { name: "group.instance.id", set: |c, v| name(v).map(|v| c.group_instance_id = Some(v)) },
    Setting { name: "group.protocol", set: |_, v| parse::one_of(v, &[("classic", ())]) },
    Setting { name: "partition.assignment.strategy", set: |c, v| assignors(v).map(|v| c.assignors = v) },
    Setting {
        name: "session.timeout.ms",
        set: |c, v| parse::number(v, 1..).map(|v| c.session_timeout_ms = v),
    },
    Setting {
        name: "heartbeat.interval.ms",
        set: |c, v| parse::number(v, 1..).map(|v| c.heartbeat_interval_ms = v),
    },
    Setting {
        name: "max.poll.interval.ms",
        set: |c, v| parse::number(v, 1..).map(|v| c.max_poll_interval_ms = v),
    },
    Setting { name: "enable.auto.commit", set: |c, v| parse::boolean(v).map(|v| c.enable_auto_commit = v) },
    Setting {
        name: "auto.commit.interval.ms",
        set: |c, v| parse::number(v, 0..).map(|v| c.auto_commit_interval_ms = v),
    },
    Setting { name: "auto.offset.reset", set: |c, v| offset_reset(v).map(|v| c.auto_offset_reset = v) },
    Setting {
        name: "isolation.level",
        set: |c, v| {
            let choices = [
                ("read_uncommitted", IsolationLevel::ReadUncommitted),
                ("read_committed", IsolationLevel::ReadCommitted),
            ];
            parse::one_of(v, &choices).map(|v| c.isolation_level = v)
        },
    },
    Setting { name: "fetch.min.bytes", set: |c, v| parse::number(v, 0..).map(|v| c.fetch_min_bytes = v) },
    Setting { name: "fetch.max.bytes", set: |c, v| parse::number(v, 0..).map(|v| c.fetch_max_bytes = v) },
    Setting { name: "fetch.max.wait.ms", set: |c, v| parse::number(v, 0..).map(|v| c.fetch_max_wait_ms = v) },
    Setting {
        name: "max.partition.fetch.bytes",
        set: |c, v| parse::number(v, 0..).map(|v| c.max_partition_fetch_bytes = v),
    },
    Setting {
        name: "allow.auto.create.topics",
        set: |c, v| parse::boolean(v).map(|v| c.allow_auto_create_topics = v),
    },
    Setting { name: "check.crcs", set: |c, v| parse::boolean(v).map(|v| c.check_crcs = v) },
    Setting {
        name: "enable.partition.eof",
        set: |c, v| parse::boolean(v).map(|v| c.enable_partition_eof = v),
    },
];

fn name(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("expected a name".to_owned()) } else { Ok(text.to_owned()) }
}

fn offset_reset(text: &str) -> Result<AutoOffsetReset, String> {
    if let Some(duration) = text.strip_prefix("by_duration:") {
        return parse::duration_ms(duration).map(|ms| AutoOffsetReset::ByDuration { ms });
    }
    let choices = [
        ("earliest", AutoOffsetReset::Earliest),
        ("latest", AutoOffsetReset::Latest),
        ("none", AutoOffsetReset::None),
    ];
    parse::one_of(text, &choices)
        .map_err(|_| "expected one of earliest, latest, none, by_duration:<ISO-8601 duration>".to_owned())
}

/// Short names as they travel in JoinGroup, or the Java classes' full names.
fn assignors(text: &str) -> Result<Vec<Assignor>, String> {
    let choices = Assignor::ALL.map(|assignor| (assignor.name(), assignor));
    let parsed = parse::list(text).map(|item| {
        let class = item.rsplit('.').next().unwrap_or(item);
        Assignor::ALL
            .into_iter()
            .find(|a| a.class_name() == class)
            .map_or_else(|| parse::one_of(item, &choices), Ok)
    });
    let parsed: Vec<Assignor> = parsed.collect::<Result<_, _>>()?;
    if parsed.is_empty() { Err("expected at least one assignor".to_owned()) } else { Ok(parsed) }
}

impl ConsumerConfig {
    /// Defaults with these bootstrap servers, `host:port` separated by commas.
    pub fn new(bootstrap_servers: &str) -> Result<Self, ConfigError> {
        Self::from_properties([("bootstrap.servers", bootstrap_servers)])
    }

    /// Builds and checks the settings from names and values.
    pub fn from_properties<'p>(
        properties: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for (name, value) in properties {
            config.set(name, value)?;
        }
        config.validate()?;
        Ok(config)
    }

    /// Sets one setting by Kafka's name for it.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        set_in(self, &[SETTINGS, client::settings()], name, value)
    }

    /// The names of all settings.
    pub fn names() -> Vec<&'static str> {
        let common = client::settings::<Self>().iter().map(|row| row.name);
        SETTINGS.iter().map(|row| row.name).chain(common).collect()
    }

    /// Checks what depends on more than one setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.client.validate()?;
        if self.heartbeat_interval_ms >= i64::from(self.session_timeout_ms) {
            return Err(ConfigError::Conflict {
                name: "heartbeat.interval.ms",
                other: "session.timeout.ms",
                reason: "a heartbeat must come before the session ends",
            });
        }
        Ok(())
    }
}
