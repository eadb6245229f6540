//! Addresses in settings: listeners, voters, servers. Names are not resolved here.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not of the form at all.
    #[error("{text} is not of the form {form}")]
    Form {
        /// The text.
        text: String,
        /// The form it should have.
        form: &'static str,
    },
    /// The host holds a character that no host name or address has.
    #[error("{host} is not a host name or address")]
    Host {
        /// The host.
        host: String,
    },
    /// The port is not a number that a port can have.
    #[error("{port} is not a port: it must be from 0 to 65535")]
    Port {
        /// The port.
        port: String,
    },
}

/// A host and a port; the host is never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// Host name or address, an IPv6 address without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let form = || AddressError::Form { text: text.to_owned(), form: "host:port" };
        match split_host_port(text)? {
            Some((host, port)) if !host.is_empty() => Ok(Self { host: host.to_owned(), port }),
            _ => Err(form()),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host_port(f, &self.host, self.port)
    }
}

/// A controller of a fixed quorum, `id@host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voter {
    /// The controller's node id.
    pub id: i32,
    /// Where it listens.
    pub address: HostPort,
}

impl FromStr for Voter {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let form = || AddressError::Form { text: text.to_owned(), form: "id@host:port" };
        let (id, address) = text.split_once('@').ok_or_else(form)?;
        let id = id.parse().ok().filter(|id| *id >= 0).ok_or_else(form)?;
        let address = address.parse().map_err(|error| match error {
            AddressError::Form { .. } => form(),
            other => other,
        })?;
        Ok(Self { id, address })
    }
}

/// A listener's address, `NAME://host:port`, before it is known which security protocol it speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerAddress {
    /// Name in capitals.
    pub name: String,
    /// Host; `None` is every interface.
    pub host: Option<String>,
    /// TCP port; 0 lets the system choose.
    pub port: u16,
}

impl FromStr for ListenerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let form = || AddressError::Form { text: text.to_owned(), form: "NAME://host:port" };
        let (name, address) = text.split_once("://").filter(|(name, _)| !name.is_empty()).ok_or_else(form)?;
        let (host, port) = split_host_port(address)?.ok_or_else(form)?;
        let host = (!host.is_empty()).then(|| host.to_owned());
        Ok(Self { name: name.to_uppercase(), host, port })
    }
}

impl fmt::Display for ListenerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.name)?;
        write_host_port(f, self.host.as_deref().unwrap_or_default(), self.port)
    }
}

/// Numbers for single hosts, `host:count,…`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostCounts(BTreeMap<String, i32>);

impl HostCounts {
    /// Reads the text; `None` if it is of another form, or a count is negative.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let counts = entries.map(|entry| {
            let (host, count) = entry.rsplit_once(':')?;
            let count = count.trim().parse().ok().filter(|count| *count >= 0)?;
            (!host.trim().is_empty()).then(|| (host.trim().to_owned(), count))
        });
        counts.collect::<Option<_>>().map(Self)
    }

    /// The count for this host or address, written as in the setting.
    pub fn get(&self, host: &str) -> Option<i32> {
        self.0.get(host).copied()
    }

    /// All hosts and their counts, sorted by host.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i32)> {
        self.0.iter().map(|(host, count)| (host.as_str(), *count))
    }

    /// Whether no host has a count.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Splits at the last colon; `None` when there is none. An IPv6 address may stand in brackets.
fn split_host_port(text: &str) -> Result<Option<(&str, u16)>, AddressError> {
    let Some((host, port)) = text.rsplit_once(':') else { return Ok(None) };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let fits = |c: char| c.is_ascii_alphanumeric() || "-%._:".contains(c);
    if !bare.chars().all(fits) {
        return Err(AddressError::Host { host: host.to_owned() });
    }
    let is_number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse() {
        Ok(port) if is_number => Ok(Some((bare, port))),
        _ => Err(AddressError::Port { port: port.to_owned() }),
    }
}

fn write_host_port(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<T: FromStr<Err = AddressError> + fmt::Display>(text: &str) -> String {
        text.parse::<T>().map_or_else(|error| error.to_string(), |parsed| parsed.to_string())
    }

    #[test]
    fn listener_addresses() {
        let cases = [
            ("PLAINTEXT://127.0.0.1:9092", "PLAINTEXT://127.0.0.1:9092"),
            ("plaintext://:9092", "PLAINTEXT://:9092"),
            ("A://[::1]:0", "A://[::1]:0"),
            ("A://::1:9092", "A://[::1]:9092"),
            ("localhost:9092", "localhost:9092 is not of the form NAME://host:port"),
            ("://h:1", "://h:1 is not of the form NAME://host:port"),
            ("A://h", "A://h is not of the form NAME://host:port"),
            ("A://h:x", "x is not a port: it must be from 0 to 65535"),
            ("A://h:65536", "65536 is not a port: it must be from 0 to 65535"),
            ("A://h:+1", "+1 is not a port: it must be from 0 to 65535"),
            ("A://h/x:1", "h/x is not a host name or address"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown::<ListenerAddress>(text), expected);
        }
    }

    #[test]
    fn host_counts() {
        let counts = HostCounts::parse(" a:1, ::1:2 ,").unwrap();
        assert_eq!(counts.iter().collect::<Vec<_>>(), [("::1", 2), ("a", 1)]);
        assert_eq!((counts.get("a"), counts.get("b"), counts.is_empty()), (Some(1), None, false));
        for text in ["a", "a:", "a:-1", ":1", "a:x"] {
            assert_eq!(HostCounts::parse(text), None, "{text}");
        }
    }

    #[test]
    fn servers_and_voters() {
        assert_eq!(shown::<HostPort>("[fe80::1%eth0]:1"), "[fe80::1%eth0]:1");
        assert_eq!(shown::<HostPort>(":1"), ":1 is not of the form host:port");
        let voter: Voter = "3@c:9093".parse().unwrap();
        assert_eq!((voter.id, voter.address.to_string()), (3, "c:9093".to_owned()));
        for text in ["c:9093", "x@c:9093", "-1@c:9093", "1@c"] {
            let error = text.parse::<Voter>().unwrap_err();
            assert_eq!(error.to_string(), format!("{text} is not of the form id@host:port"));
        }
    }
}
