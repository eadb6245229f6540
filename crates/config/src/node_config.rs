//! Who a node is and where it listens: what never changes while it runs, and the checks that Kafka makes at start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::conflict::{Conflict, require};
use crate::endpoint::{HostPort, ListenerAddress, Voter};
use crate::layers::Layers;
use crate::snapshot::snapshot;

/// How a listener's connections are secured; the numbers are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum SecurityProtocol {
    /// Not at all.
    Plaintext = 0,
    /// By TLS.
    Ssl = 1,
    /// By a SASL login.
    SaslPlaintext = 2,
    /// By TLS and a SASL login.
    SaslSsl = 3,
}

impl SecurityProtocol {
    /// The protocol of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl]
            .into_iter()
            .find(|p| p.name() == name)
    }

    /// Kafka's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

/// Where a node listens, or says that it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Name, in capitals.
    pub name: String,
    /// Host; `None` is every interface, and of an advertised listener the machine's own name.
    pub host: Option<String>,
    /// TCP port; 0 lets the system choose.
    pub port: u16,
    /// How its connections are secured.
    pub protocol: SecurityProtocol,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Serves clients and holds partitions.
    pub broker: bool,
    /// Votes on, and may lead, the metadata log.
    pub controller: bool,
}

/// A node's identity and addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// `node.id`.
    pub node_id: i32,
    /// `process.roles`.
    pub roles: Roles,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Where to listen for clients and other brokers.
    pub broker_listeners: Vec<Listener>,
    /// Where to listen for controllers and brokers that follow the metadata log.
    pub controller_listeners: Vec<Listener>,
    /// Where clients are told to connect to.
    pub advertised_broker_listeners: Vec<Listener>,
    /// Where brokers and controllers are told to find this controller.
    pub advertised_controller_listeners: Vec<Listener>,
    /// Listener that brokers use between themselves.
    pub inter_broker_listener: String,
    /// Names of the controllers' listeners; brokers use the first.
    pub controller_listener_names: Vec<String>,
    /// The fixed set of controllers; empty when the metadata log holds the set.
    pub voters: Vec<Voter>,
    /// Where to find the controllers when the metadata log holds their set.
    pub bootstrap_servers: Vec<HostPort>,
    /// Folders for data; never empty.
    pub log_dirs: Vec<PathBuf>,
    /// Folder of the metadata log.
    pub metadata_log_dir: PathBuf,
    /// Where to serve metrics over HTTP.
    pub metrics_listener: Option<HostPort>,
    /// Threads that handle requests; 0 is one for each core.
    pub worker_threads: usize,
}

snapshot! {
    /// The settings of a node, before they are put together.
    Raw of Broker {
        advertised_listeners: Option<Vec<String>> = "advertised.listeners",
        broker_id: i32 = "broker.id",
        broker_rack: Option<String> = "broker.rack",
        controller_listener_names: Option<Vec<String>> = "controller.listener.names",
        controller_quorum_bootstrap_servers: Vec<String> = "controller.quorum.bootstrap.servers",
        controller_quorum_voters: Vec<String> = "controller.quorum.voters",
        inter_broker_listener_name: Option<String> = "inter.broker.listener.name",
        klamm_metrics_listener: String = "klamm.metrics.listener",
        klamm_worker_threads: i32 = "klamm.worker.threads",
        listener_security_protocol_map: String = "listener.security.protocol.map",
        listeners: Vec<String> = "listeners",
        log_dir: Vec<String> = "log.dir",
        log_dirs: Option<Vec<String>> = "log.dirs",
        metadata_log_dir: Option<String> = "metadata.log.dir",
        node_id: Option<i32> = "node.id",
        process_roles: Option<Vec<String>> = "process.roles",
        security_inter_broker_protocol: String = "security.inter.broker.protocol",
    }
}

/// Names of the settings that a node's identity and addresses come from.
#[cfg(test)]
pub(crate) const NODE_NAMES: &[&str] = Raw::NAMES;

impl NodeConfig {
    /// Puts a node's settings together; fails when they do not make a node.
    pub fn new(layers: &Layers) -> Result<Self, Conflict> {
        let raw = Raw::read(|setting| layers.value(setting));
        let roles = roles(&raw)?;
        let protocols = Protocols::new(layers, &raw)?;
        let is_controllers = |listener: &Listener| raw.is_controllers(&listener.name);
        let (controller_listeners, broker_listeners) =
            protocols.listeners("listeners", &raw.listeners)?.into_iter().partition(is_controllers);
        let advertised = match &raw.advertised_listeners {
            Some(addresses) => Some(protocols.listeners("advertised.listeners", addresses)?),
            None => None,
        };
        let log_dirs: Vec<_> =
            raw.log_dirs.as_ref().unwrap_or(&raw.log_dir).iter().map(PathBuf::from).collect();
        let metadata_log_dir =
            raw.metadata_log_dir.as_ref().map_or_else(|| log_dirs[0].clone(), PathBuf::from);
        let mut config = Self {
            node_id: node_id(&raw)?,
            roles,
            rack: raw.broker_rack.clone(),
            advertised_broker_listeners: Vec::new(),
            advertised_controller_listeners: Vec::new(),
            broker_listeners,
            controller_listeners,
            inter_broker_listener: protocols.inter_broker(layers, &raw)?,
            controller_listener_names: raw.controller_listener_names.clone().unwrap_or_default(),
            voters: parsed(&raw.controller_quorum_voters),
            bootstrap_servers: parsed(&raw.controller_quorum_bootstrap_servers),
            log_dirs,
            metadata_log_dir,
            metrics_listener: metrics_listener(&raw.klamm_metrics_listener)?,
            worker_threads: raw.klamm_worker_threads.unsigned_abs() as usize,
        };
        config.advertised_broker_listeners = config.advertised_brokers(&raw, advertised.as_deref());
        config.advertised_controller_listeners = config.advertised_controllers(&raw, advertised.as_deref());
        config.check(&raw)?;
        Ok(config)
    }

    fn advertised_brokers(&self, raw: &Raw, advertised: Option<&[Listener]>) -> Vec<Listener> {
        match advertised {
            Some(listeners) => listeners.iter().filter(|l| !raw.is_controllers(&l.name)).cloned().collect(),
            None => self.broker_listeners.clone(),
        }
    }

    /// A controller's listener that is not advertised itself, and listens everywhere, is found where the voters say.
    fn advertised_controllers(&self, raw: &Raw, advertised: Option<&[Listener]>) -> Vec<Listener> {
        let own = self.voters.iter().find(|voter| voter.id == self.node_id).map(|voter| &voter.address);
        let names = raw.controller_listener_names.iter().flatten().enumerate();
        let listeners = names.filter_map(|(i, name)| {
            let named = |listener: &&Listener| listener.name.eq_ignore_ascii_case(name);
            if let Some(listener) = advertised.into_iter().flatten().find(named) {
                return Some(listener.clone());
            }
            let mut listener = self.controller_listeners.iter().find(named)?.clone();
            let everywhere = listener.host.as_deref().is_none_or(|host| host == "0.0.0.0");
            match own {
                Some(own) if i == 0 && everywhere => {
                    (listener.host, listener.port) = (Some(own.host.clone()), own.port);
                }
                _ if everywhere => listener.host = None,
                _ => {}
            }
            Some(listener)
        });
        listeners.collect()
    }

    fn check(&self, raw: &Raw) -> Result<(), Conflict> {
        require(!self.voters.is_empty() || !self.bootstrap_servers.is_empty(), || {
            "either controller.quorum.voters or controller.quorum.bootstrap.servers must name the controllers"
                .to_owned()
        })?;
        if self.roles.controller {
            self.check_controller(raw)?;
        } else {
            self.check_without_controller(raw)?;
        }
        if self.roles.broker {
            self.check_broker()?;
        } else {
            require(self.broker_listeners.is_empty(), || {
                let name = &self.broker_listeners[0].name;
                format!(
                    "listeners holds {name}, but a controller that is no broker has only those of controller.listener.names"
                )
            })?;
        }
        let mut advertised =
            self.advertised_broker_listeners.iter().chain(&self.advertised_controller_listeners);
        require(advertised.all(|listener| listener.host.as_deref() != Some("0.0.0.0")), || {
            "advertised.listeners cannot use 0.0.0.0, since nobody can connect to that: name an address that clients reach"
                .to_owned()
        })
    }

    fn check_controller(&self, raw: &Raw) -> Result<(), Conflict> {
        let id = self.node_id;
        require(self.voters.is_empty() || self.voters.iter().any(|voter| voter.id == id), || {
            format!(
                "controller.quorum.voters must hold this node, {id}, since process.roles holds controller"
            )
        })?;
        require(!self.controller_listener_names.is_empty(), || {
            "controller.listener.names must name the listener of the controller".to_owned()
        })?;
        for name in raw.controller_listener_names.iter().flatten() {
            require(self.controller_listeners.iter().any(|listener| listener.name == *name), || {
                format!("controller.listener.names holds {name}, but listeners does not")
            })?;
        }
        Ok(())
    }

    fn check_without_controller(&self, raw: &Raw) -> Result<(), Conflict> {
        let id = self.node_id;
        require(self.voters.iter().all(|voter| voter.id != id), || {
            format!(
                "controller.quorum.voters must not hold this node, {id}, since process.roles does not hold controller"
            )
        })?;
        require(raw.controller_listener_names.iter().flatten().count() > 0, || {
            "controller.listener.names must name the listener of the controllers, also on a broker".to_owned()
        })?;
        require(self.controller_listeners.is_empty(), || {
            let name = &self.controller_listeners[0].name;
            format!("listeners holds {name} of controller.listener.names, but this node is no controller")
        })
    }

    fn check_broker(&self) -> Result<(), Conflict> {
        let advertised: BTreeSet<_> =
            self.advertised_broker_listeners.iter().map(|l| l.name.as_str()).collect();
        let names = || advertised.iter().copied().collect::<Vec<_>>().join(", ");
        require(!advertised.is_empty(), || {
            "a broker needs a listener: all of listeners are in controller.listener.names".to_owned()
        })?;
        let inter_broker = self.inter_broker_listener.as_str();
        require(advertised.contains(inter_broker), || {
            format!(
                "inter.broker.listener.name is {inter_broker}, but the advertised listeners are {}",
                names()
            )
        })?;
        let listeners: BTreeSet<_> = self.broker_listeners.iter().map(|l| l.name.as_str()).collect();
        require(advertised.is_subset(&listeners), || {
            format!("advertised.listeners holds {}, not all of which are in listeners", names())
        })
    }
}

impl Raw {
    fn is_controllers(&self, name: &str) -> bool {
        self.controller_listener_names.iter().flatten().any(|known| known == name)
    }
}

fn roles(raw: &Raw) -> Result<Roles, Conflict> {
    let roles = raw.process_roles.as_deref().unwrap_or_default();
    require(!roles.is_empty(), || {
        "process.roles is missing: it must be broker, controller, or both".to_owned()
    })?;
    let has = |role: &str| roles.iter().any(|entry| entry == role);
    Ok(Roles { broker: has("broker"), controller: has("controller") })
}

fn node_id(raw: &Raw) -> Result<i32, Conflict> {
    let node_id = raw.node_id.or((raw.broker_id >= 0).then_some(raw.broker_id));
    let node_id =
        node_id.ok_or_else(|| Conflict::new("node.id is missing: it must be unique in the cluster"))?;
    require(raw.broker_id < 0 || raw.broker_id == node_id, || {
        format!("node.id ({node_id}) and its old name broker.id ({}) must be the same", raw.broker_id)
    })?;
    Ok(node_id)
}

fn metrics_listener(text: &str) -> Result<Option<HostPort>, Conflict> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| Conflict::new(format!("klamm.metrics.listener: {error}")))
}

/// Entries that their setting's validity has checked.
fn parsed<T: std::str::FromStr>(entries: &[String]) -> Vec<T> {
    entries.iter().filter_map(|entry| entry.parse().ok()).collect()
}

/// The security protocol of each listener name.
struct Protocols(BTreeMap<String, SecurityProtocol>);

impl Protocols {
    /// Reads the map. Where it is not set and no listener asks for more, controllers' listeners are plaintext.
    fn new(layers: &Layers, raw: &Raw) -> Result<Self, Conflict> {
        let mut map = BTreeMap::new();
        for entry in raw.listener_security_protocol_map.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let (name, protocol) = entry.rsplit_once(':').ok_or_else(|| {
                Conflict::new(format!(
                    "listener.security.protocol.map: {entry} is not of the form NAME:PROTOCOL"
                ))
            })?;
            let protocol = protocol_of(protocol.trim(), "listener.security.protocol.map")?;
            map.insert(name.trim().to_uppercase(), protocol);
        }
        let is_set = layers.text("listener.security.protocol.map").is_some();
        let listener_names = raw.listeners.iter().filter_map(|l| l.split_once(':')).map(|(name, _)| name);
        let controllers = raw.controller_listener_names.iter().flatten();
        let mut names = listener_names.chain(controllers.clone().map(String::as_str));
        let is_secured =
            |name: &str| matches!(name.to_uppercase().as_str(), "SSL" | "SASL_SSL" | "SASL_PLAINTEXT");
        if !is_set && !names.any(is_secured) {
            map.extend(controllers.map(|name| (name.to_uppercase(), SecurityProtocol::Plaintext)));
        }
        Ok(Self(map))
    }

    fn listeners(&self, setting: &str, addresses: &[String]) -> Result<Vec<Listener>, Conflict> {
        let listeners: Vec<_> =
            addresses.iter().map(|address| self.listener(setting, address)).collect::<Result<_, _>>()?;
        for (i, listener) in listeners.iter().enumerate() {
            for other in &listeners[..i] {
                require(other.name != listener.name, || format!("{setting} holds {} twice", listener.name))?;
                require(setting != "listeners" || !same_port(other, listener), || {
                    format!(
                        "{setting}: {} and {} have the same port, {}",
                        other.name, listener.name, other.port
                    )
                })?;
            }
        }
        Ok(listeners)
    }

    fn listener(&self, setting: &str, address: &str) -> Result<Listener, Conflict> {
        let ListenerAddress { name, host, port } =
            address.parse().map_err(|error| Conflict::new(format!("{setting}: {error}")))?;
        let protocol = *self.0.get(&name).ok_or_else(|| {
            Conflict::new(format!(
                "{setting} holds {name}, but listener.security.protocol.map does not say what it speaks"
            ))
        })?;
        require(protocol == SecurityProtocol::Plaintext, || {
            format!(
                "{setting}: {name} speaks {}, which Klamm does not do yet; use PLAINTEXT",
                protocol.name()
            )
        })?;
        Ok(Listener { name, host, port, protocol })
    }

    fn inter_broker(&self, layers: &Layers, raw: &Raw) -> Result<String, Conflict> {
        let Some(name) = &raw.inter_broker_listener_name else {
            let protocol =
                protocol_of(&raw.security_inter_broker_protocol, "security.inter.broker.protocol")?;
            return Ok(protocol.name().to_owned());
        };
        require(layers.text("security.inter.broker.protocol").is_none(), || {
            "only one of inter.broker.listener.name and security.inter.broker.protocol can be set".to_owned()
        })?;
        let name = name.to_uppercase();
        require(self.0.contains_key(&name), || {
            format!(
                "inter.broker.listener.name is {name}, but listener.security.protocol.map does not say what it speaks"
            )
        })?;
        Ok(name)
    }
}

fn protocol_of(name: &str, setting: &str) -> Result<SecurityProtocol, Conflict> {
    SecurityProtocol::from_name(name).ok_or_else(|| {
        let names = "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL";
        Conflict::new(format!("{setting}: {name} is not a security protocol; they are {names}"))
    })
}

/// Two listeners may share a port only when one is bound to an IPv4 address and the other to an IPv6 address.
fn same_port(one: &Listener, other: &Listener) -> bool {
    let is_v6 = |listener: &Listener| {
        let host: Option<std::net::IpAddr> = listener.host.as_ref().and_then(|host| host.parse().ok());
        host.map(|address| address.is_ipv6())
    };
    let differ = matches!((is_v6(one), is_v6(other)), (Some(one), Some(other)) if one != other);
    one.port == other.port && one.port != 0 && !differ
}
