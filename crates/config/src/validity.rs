//! Which values of its type a setting allows.

use std::fmt;

use crate::endpoint::{HostCounts, HostPort, Voter};
use crate::value::Value;

/// What is asked of a value beyond its type. Null is never checked: only a default can be null.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Validity {
    /// Nothing.
    Any,
    /// A number no less than this.
    AtLeast(i64),
    /// A number from the one to the other.
    Between(i64, i64),
    /// A floating point number from the one to the other.
    Fraction(f64, f64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words, in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// Any of these words, or none.
    ListOf(&'static [&'static str]),
    /// At least one of these words.
    SomeOf(&'static [&'static str]),
    /// A text or list that is not empty.
    NotEmpty,
    /// -1, or 1 to 9.
    GzipLevel,
    /// Entries `id@host:port`.
    Voters,
    /// Entries `host:port`.
    Servers,
    /// Entries `host:count`.
    HostCounts,
    /// `*`, or entries `partition:broker`.
    ThrottledReplicas,
    /// `latest`, `earliest`, or `by_duration:` and an ISO 8601 duration.
    OffsetReset,
    /// Entries `selector=regex`.
    ClientMatch,
}

/// What clients can be selected by (KIP-714).
const CLIENT_SELECTORS: &[&str] = &[
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

impl Validity {
    /// What is wrong with a value, if anything is.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        let allowed = match value {
            Value::Null | Value::Boolean(_) => true,
            Value::Integer(number) => self.allows_integer(*number),
            Value::Double(number) => self.allows_double(*number),
            Value::Text(text) => self.allows_text(text),
            Value::List(list) => self.allows_list(list),
        };
        if allowed { Ok(()) } else { Err(format!("must be {self}")) }
    }

    fn allows_integer(&self, number: i64) -> bool {
        match self {
            Validity::AtLeast(min) => number >= *min,
            Validity::Between(min, max) => (*min..=*max).contains(&number),
            Validity::GzipLevel => number == -1 || (1..=9).contains(&number),
            _ => true,
        }
    }

    fn allows_double(&self, number: f64) -> bool {
        match self {
            Validity::Fraction(min, max) => (*min..=*max).contains(&number),
            _ => true,
        }
    }

    fn allows_text(&self, text: &str) -> bool {
        match self {
            Validity::OneOf(words) => words.contains(&text),
            Validity::OneOfAnyCase(words) => words.iter().any(|word| word.eq_ignore_ascii_case(text)),
            Validity::NotEmpty => !text.is_empty(),
            Validity::OffsetReset => is_offset_reset(text),
            Validity::HostCounts => HostCounts::parse(text).is_some(),
            _ => true,
        }
    }

    fn allows_list(&self, list: &[String]) -> bool {
        match self {
            Validity::ListOf(words) => list.iter().all(|entry| words.contains(&entry.as_str())),
            Validity::SomeOf(words) => {
                !list.is_empty() && list.iter().all(|entry| words.contains(&entry.as_str()))
            }
            Validity::NotEmpty => !list.is_empty(),
            Validity::Voters => list.iter().all(|entry| entry.parse::<Voter>().is_ok()),
            Validity::Servers => list.iter().all(|entry| entry.parse::<HostPort>().is_ok()),
            Validity::ThrottledReplicas => list == ["*"] || list.iter().all(|entry| is_replica(entry)),
            Validity::ClientMatch => list.iter().all(|entry| is_client_match(entry)),
            _ => true,
        }
    }
}

fn is_replica(entry: &str) -> bool {
    let is_id = |id: &str| id.parse::<i32>().is_ok_and(|id| id >= 0);
    entry.split_once(':').is_some_and(|(partition, broker)| is_id(partition) && is_id(broker))
}

fn is_client_match(entry: &str) -> bool {
    entry.split_once('=').is_some_and(|(selector, regex)| {
        CLIENT_SELECTORS.contains(&selector.trim()) && !regex.trim().is_empty()
    })
}

fn is_offset_reset(text: &str) -> bool {
    matches!(text, "latest" | "earliest") || text.strip_prefix("by_duration:").is_some_and(is_duration)
}

/// Whether this is an ISO 8601 duration of days, hours, minutes and seconds, such as `P1DT2H30M0.5S`.
fn is_duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('P') else { return false };
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) => (days, Some(time)),
        None => (rest, None),
    };
    let days_are_fine = days.is_empty() || has_units(days, "D");
    days_are_fine && time.map_or(!days.is_empty(), |time| has_units(time, "HMS"))
}

/// Whether this is at least one number with a unit, the units in this order, only seconds with a fraction.
fn has_units(text: &str, units: &str) -> bool {
    let mut units = units.chars();
    let mut rest = text;
    while let Some(end) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let (number, unit) = (&rest[..end], rest.as_bytes()[end] as char);
        let whole = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let fraction =
            unit == 'S' && number.starts_with(|c: char| c.is_ascii_digit()) && number.parse::<f64>().is_ok();
        if !units.any(|known| known == unit) || !(whole || fraction) {
            return false;
        }
        rest = &rest[end + 1..];
    }
    rest.is_empty() && !text.is_empty()
}

impl fmt::Display for Validity {
    /// Goes on from "must be".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Validity::Any => f.write_str("anything"),
            Validity::AtLeast(min) => write!(f, "at least {min}"),
            Validity::Between(min, max) => write!(f, "from {min} to {max}"),
            Validity::Fraction(min, max) => write!(f, "from {min} to {max}"),
            Validity::OneOf(words) => write!(f, "one of {}", words.join(", ")),
            Validity::OneOfAnyCase(words) => write!(f, "one of {} (in any case)", words.join(", ")),
            Validity::ListOf(words) => write!(f, "a list of any of {}, or empty", words.join(", ")),
            Validity::SomeOf(words) => write!(f, "a list of at least one of {}", words.join(", ")),
            Validity::NotEmpty => f.write_str("given, not empty"),
            Validity::GzipLevel => f.write_str("from 1 to 9, or -1"),
            Validity::Voters => f.write_str("a list of id@host:port"),
            Validity::Servers => f.write_str("a list of host:port"),
            Validity::HostCounts => f.write_str("a list of host:count"),
            Validity::ThrottledReplicas => f.write_str("* or a list of partition:broker"),
            Validity::OffsetReset => f.write_str("latest, earliest, or by_duration:PnDTnHnMn.nS"),
            Validity::ClientMatch => {
                write!(f, "a list of selector=regex, with {}", CLIENT_SELECTORS.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_reset_takes_words_and_durations() {
        let good = ["latest", "earliest", "by_duration:P1D", "by_duration:PT1H", "by_duration:P2DT3H4M5.5S"];
        let bad = [
            "Latest",
            "",
            "by_duration:",
            "by_duration:P",
            "by_duration:PT",
            "by_duration:1H",
            "by_duration:PT1D",
        ];
        let more = [
            "by_duration:PT1M2H",
            "by_duration:PT.5S",
            "by_duration:PT1.5H",
            "by_duration:PT5",
            "by_duration:P-1D",
        ];
        for text in good {
            assert!(is_offset_reset(text), "{text}");
        }
        for text in bad.iter().chain(&more) {
            assert!(!is_offset_reset(text), "{text}");
        }
    }
}
