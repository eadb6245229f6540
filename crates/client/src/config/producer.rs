//! The producer's settings.

use klamm_records::{Codec, Compression};

use super::client::{self, HasClient};
use super::{ClientConfig, ConfigError, Setting, parse, set_in};

/// `acks`: when a produce request counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// When it has been written to the socket. Offsets are not known, losses go unnoticed.
    None,
    /// When the leader has appended it.
    Leader,
    /// When every in-sync replica has it.
    All,
}

impl Acks {
    /// The value on the wire.
    pub fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// Settings of a [`Producer`](crate::Producer).
#[derive(Debug, Clone, PartialEq)]
pub struct ProducerConfig {
    /// The settings common to all clients.
    pub client: ClientConfig,
    /// `acks`.
    pub acks: Acks,
    /// `linger.ms`: how long a batch waits for more records when it could already be sent.
    pub linger_ms: i64,
    /// `batch.size`: bytes of records, before compression, at which a batch is closed.
    pub batch_size: usize,
    /// `buffer.memory`: bytes of records that may wait for their acknowledgement.
    pub buffer_memory: usize,
    /// `max.block.ms`: how long `send` may wait for metadata or for room.
    pub max_block_ms: u64,
    /// `max.request.size`: the largest produce request, and the largest record, in bytes.
    pub max_request_size: usize,
    /// `compression.type`.
    pub compression: Compression,
    /// `compression.gzip.level`.
    pub gzip_level: Option<i32>,
    /// `compression.lz4.level`.
    pub lz4_level: Option<i32>,
    /// `compression.zstd.level`.
    pub zstd_level: Option<i32>,
    /// `delivery.timeout.ms`: from `send` to the final answer, retries included.
    pub delivery_timeout_ms: i64,
    /// `retries`: attempts after the first one, within the delivery timeout.
    pub retries: u32,
    /// `max.in.flight.requests.per.connection`.
    pub max_in_flight: usize,
    /// `enable.idempotence`; `None` means on unless another setting rules it out.
    pub enable_idempotence: Option<bool>,
    /// `partitioner.ignore.keys`: records with a key are spread like those without.
    pub partitioner_ignore_keys: bool,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            client: ClientConfig::default(),
            acks: Acks::All,
            linger_ms: 5,
            batch_size: 16_384,
            buffer_memory: 32 << 20,
            max_block_ms: 60_000,
            max_request_size: 1 << 20,
            compression: Compression::None,
            gzip_level: None,
            lz4_level: None,
            zstd_level: None,
            delivery_timeout_ms: 120_000,
            retries: i32::MAX as u32,
            max_in_flight: 5,
            enable_idempotence: None,
            partitioner_ignore_keys: false,
        }
    }
}

impl HasClient for ProducerConfig {
    fn client_mut(&mut self) -> &mut ClientConfig {
        &mut self.client
    }
}

/// Kafka keeps five batches of a producer and partition to tell a retry from a new batch.
const MAX_IN_FLIGHT_IDEMPOTENT: usize = 5;

const SETTINGS: &[Setting<ProducerConfig>] = &[
    Setting {
        name: "acks",
        set: |c, v| {
            let choices = [("all", Acks::All), ("-1", Acks::All), ("0", Acks::None), ("1", Acks::Leader)];
            parse::one_of(v, &choices).map(|v| c.acks = v)
        },
    },
    Setting { name: "linger.ms", set: |c, v| parse::number(v, 0..).map(|v| c.linger_ms = v) },
    Setting { name: "batch.size", set: |c, v| parse::number(v, 0..=(1 << 30)).map(|v| c.batch_size = v) },
    Setting { name: "buffer.memory", set: |c, v| parse::number(v, 1..).map(|v| c.buffer_memory = v) },
    Setting { name: "max.block.ms", set: |c, v| parse::number(v, 0..).map(|v| c.max_block_ms = v) },
    Setting {
        name: "max.request.size",
        set: |c, v| parse::number(v, 1..=(1 << 30)).map(|v| c.max_request_size = v),
    },
    Setting {
        name: "compression.type",
        set: |c, v| {
            let choices = [
                ("none", Compression::None),
                ("gzip", Compression::Gzip),
                ("snappy", Compression::Snappy),
                ("lz4", Compression::Lz4),
                ("zstd", Compression::Zstd),
            ];
            parse::one_of(v, &choices).map(|v| c.compression = v)
        },
    },
    Setting { name: "compression.gzip.level", set: |c, v| gzip_level(v).map(|v| c.gzip_level = Some(v)) },
    Setting {
        name: "compression.lz4.level",
        set: |c, v| parse::number(v, 1..=17).map(|v| c.lz4_level = Some(v)),
    },
    Setting {
        name: "compression.zstd.level",
        set: |c, v| parse::number(v, -131_072..=22).map(|v| c.zstd_level = Some(v)),
    },
    Setting {
        name: "delivery.timeout.ms",
        set: |c, v| parse::number(v, 0..=i64::from(i32::MAX)).map(|v| c.delivery_timeout_ms = v),
    },
    Setting { name: "retries", set: |c, v| parse::number(v, 0..=i32::MAX as u32).map(|v| c.retries = v) },
    Setting {
        name: "max.in.flight.requests.per.connection",
        set: |c, v| parse::number(v, 1..=1_000_000).map(|v| c.max_in_flight = v),
    },
    Setting {
        name: "enable.idempotence",
        set: |c, v| parse::boolean(v).map(|v| c.enable_idempotence = Some(v)),
    },
    Setting {
        name: "partitioner.ignore.keys",
        set: |c, v| parse::boolean(v).map(|v| c.partitioner_ignore_keys = v),
    },
];

/// 1 to 9, or −1 for the codec's default.
fn gzip_level(text: &str) -> Result<i32, String> {
    if text == "-1" { Ok(-1) } else { parse::number(text, 1..=9) }
}

impl ProducerConfig {
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

    /// The codec with its level.
    pub fn codec(&self) -> Codec {
        let level = match self.compression {
            Compression::None | Compression::Snappy => None,
            Compression::Gzip => self.gzip_level,
            Compression::Lz4 => self.lz4_level,
            Compression::Zstd => self.zstd_level,
        };
        let codec = Codec::new(self.compression);
        level.map_or(codec, |level| codec.with_level(level))
    }

    /// Whether batches carry producer id and sequence: on by default, off where another setting
    /// rules it out and it was not asked for.
    pub fn idempotent(&self) -> bool {
        self.enable_idempotence.unwrap_or(self.against_idempotence().is_none())
    }

    /// Checks what depends on more than one setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.client.validate()?;
        if let (Some(true), Some(conflict)) = (self.enable_idempotence, self.against_idempotence()) {
            return Err(conflict);
        }
        let least_ms = self.linger_ms.saturating_add(self.client.request_timeout_ms as i64);
        if self.delivery_timeout_ms < least_ms {
            return Err(ConfigError::Conflict {
                name: "delivery.timeout.ms",
                other: "request.timeout.ms",
                reason: "it must be at least linger.ms + request.timeout.ms",
            });
        }
        Ok(())
    }

    fn against_idempotence(&self) -> Option<ConfigError> {
        let conflict =
            |name, reason| Some(ConfigError::Conflict { name, other: "enable.idempotence", reason });
        if self.acks != Acks::All {
            return conflict("acks", "idempotence needs acks=all");
        }
        if self.retries == 0 {
            return conflict("retries", "idempotence needs retries");
        }
        if self.max_in_flight > MAX_IN_FLIGHT_IDEMPOTENT {
            return conflict("max.in.flight.requests.per.connection", "idempotence allows at most 5");
        }
        None
    }
}
