//! What every client has: where the cluster is, and how patient to be with it.

use super::{ConfigError, Setting, parse, set_in};

/// Settings common to producer, consumer and admin client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// `bootstrap.servers`: brokers to learn the cluster from, as host and port.
    pub bootstrap_servers: Vec<(String, u16)>,
    /// `bootstrap.controllers`: controllers to ask instead of brokers (KIP-919); only of use to admin clients.
    pub bootstrap_controllers: Vec<(String, u16)>,
    /// `client.id`: the name that appears in the broker's logs and quotas.
    pub client_id: String,
    /// `request.timeout.ms`: how long one request may take before its connection is given up.
    pub request_timeout_ms: u64,
    /// `default.api.timeout.ms`: how long one call may take with all its retries.
    pub default_api_timeout_ms: u64,
    /// `metadata.max.age.ms`: metadata older than this is fetched again even without an error.
    pub metadata_max_age_ms: i64,
    /// `retry.backoff.ms`: the pause before the first retry of a request.
    pub retry_backoff_ms: u64,
    /// `retry.backoff.max.ms`: the longest pause between retries, which double each time.
    pub retry_backoff_max_ms: u64,
    /// `reconnect.backoff.ms`: the pause before the first attempt to reconnect to a broker.
    pub reconnect_backoff_ms: u64,
    /// `reconnect.backoff.max.ms`: the longest pause between attempts to reconnect.
    pub reconnect_backoff_max_ms: u64,
    /// `socket.connection.setup.timeout.ms`: how long dialling a broker may take.
    pub connection_setup_timeout_ms: u64,
    /// `connections.max.idle.ms`: a connection unused for so long is closed.
    pub connections_max_idle_ms: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            bootstrap_servers: Vec::new(),
            bootstrap_controllers: Vec::new(),
            client_id: "klamm".to_owned(),
            request_timeout_ms: 30_000,
            default_api_timeout_ms: 60_000,
            metadata_max_age_ms: 300_000,
            retry_backoff_ms: 100,
            retry_backoff_max_ms: 1_000,
            reconnect_backoff_ms: 50,
            reconnect_backoff_max_ms: 1_000,
            connection_setup_timeout_ms: 10_000,
            connections_max_idle_ms: 540_000,
        }
    }
}

impl ClientConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match (self.bootstrap_servers.is_empty(), self.bootstrap_controllers.is_empty()) {
            (true, true) => Err(ConfigError::Missing { name: "bootstrap.servers" }),
            (false, false) => Err(ConfigError::Conflict {
                name: "bootstrap.controllers",
                other: "bootstrap.servers",
                reason: "a client asks brokers or controllers",
            }),
            _ => Ok(()),
        }
    }

    /// Whether controllers are asked rather than brokers.
    pub(crate) fn asks_controllers(&self) -> bool {
        !self.bootstrap_controllers.is_empty()
    }

    /// Whom to ask first.
    pub(crate) fn bootstrap(&self) -> &[(String, u16)] {
        if self.asks_controllers() { &self.bootstrap_controllers } else { &self.bootstrap_servers }
    }
}

/// Lets one table of common settings serve every config struct that contains them.
pub(super) trait HasClient {
    fn client_mut(&mut self) -> &mut ClientConfig;
}

/// The table of the common settings, for a struct that contains them.
pub(super) const fn settings<C: HasClient>() -> &'static [Setting<C>] {
    &[
        Setting {
            name: "bootstrap.servers",
            set: |c, v| parse::servers(v).map(|v| c.client_mut().bootstrap_servers = v),
        },
        Setting {
            name: "client.id",
            set: |c, v| {
                c.client_mut().client_id = v.to_owned();
                Ok(())
            },
        },
        Setting {
            name: "request.timeout.ms",
            set: |c, v| parse::number(v, 1..).map(|v| c.client_mut().request_timeout_ms = v),
        },
        Setting {
            name: "default.api.timeout.ms",
            set: |c, v| parse::number(v, 1..).map(|v| c.client_mut().default_api_timeout_ms = v),
        },
        Setting {
            name: "metadata.max.age.ms",
            set: |c, v| parse::number(v, 0..).map(|v| c.client_mut().metadata_max_age_ms = v),
        },
        Setting {
            name: "retry.backoff.ms",
            set: |c, v| parse::number(v, 0..).map(|v| c.client_mut().retry_backoff_ms = v),
        },
        Setting {
            name: "retry.backoff.max.ms",
            set: |c, v| parse::number(v, 0..).map(|v| c.client_mut().retry_backoff_max_ms = v),
        },
        Setting {
            name: "reconnect.backoff.ms",
            set: |c, v| parse::number(v, 0..).map(|v| c.client_mut().reconnect_backoff_ms = v),
        },
        Setting {
            name: "reconnect.backoff.max.ms",
            set: |c, v| parse::number(v, 0..).map(|v| c.client_mut().reconnect_backoff_max_ms = v),
        },
        Setting {
            name: "socket.connection.setup.timeout.ms",
            set: |c, v| parse::number(v, 1..).map(|v| c.client_mut().connection_setup_timeout_ms = v),
        },
        Setting {
            name: "connections.max.idle.ms",
            set: |c, v| parse::number(v, 0..).map(|v| c.client_mut().connections_max_idle_ms = v),
        },
        Setting { name: "security.protocol", set: |_, v| parse::one_of(v, &[("PLAINTEXT", ())]) },
    ]
}

/// Settings of the admin client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminConfig {
    /// The settings common to all clients.
    pub client: ClientConfig,
}

/// What admin clients have beyond that.
const ADMIN_SETTINGS: &[Setting<AdminConfig>] = &[Setting {
    name: "bootstrap.controllers",
    set: |c, v| parse::servers(v).map(|v| c.client.bootstrap_controllers = v),
}];

impl HasClient for AdminConfig {
    fn client_mut(&mut self) -> &mut ClientConfig {
        &mut self.client
    }
}

impl AdminConfig {
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
        config.client.validate()?;
        Ok(config)
    }

    /// Sets one setting by Kafka's name for it.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        set_in(self, &[settings(), ADMIN_SETTINGS], name, value)
    }

    /// The names of all settings.
    pub fn names() -> Vec<&'static str> {
        settings::<Self>().iter().chain(ADMIN_SETTINGS).map(|row| row.name).collect()
    }
}
