//! Values out of text. The error is the reason alone; the table's caller adds the setting and the value.

use std::fmt::Display;
use std::ops::RangeBounds;
use std::str::FromStr;

/// A whole number within `range`.
pub(super) fn number<T>(text: &str, range: impl RangeBounds<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let value: T = text.parse().map_err(|_| "expected a whole number".to_owned())?;
    match (range.start_bound(), range.end_bound()) {
        (Included(min), _) if value < *min => Err(format!("expected at least {min}")),
        (_, Included(max)) if value > *max => Err(format!("expected at most {max}")),
        (_, Excluded(end)) if value >= *end => Err(format!("expected less than {end}")),
        (Included(_) | Excluded(_) | Unbounded, _) => Ok(value),
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// The value whose name `text` is.
pub(super) fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("expected one of {}", names.join(", "))
    })
}

/// Trimmed, non-empty items of a comma-separated list.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// `host:port,host:port`; an IPv6 address stands in brackets.
pub(super) fn servers(text: &str) -> Result<Vec<(String, u16)>, String> {
    let servers = list(text).map(server).collect::<Result<Vec<_>, _>>()?;
    if servers.is_empty() {
        Err("expected host:port, several separated by commas".to_owned())
    } else {
        Ok(servers)
    }
}

fn server(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("`{text}` is not host:port");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.rsplit_once("://").map_or(host, |(_, host)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(wrong());
    }
    Ok((host.to_owned(), port.parse().map_err(|_| wrong())?))
}

/// An ISO-8601 duration of days, hours, minutes and seconds (`P1DT2H`, `PT0.5S`) in milliseconds.
pub(super) fn duration_ms(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is not an ISO-8601 duration such as PT1H or P7D");
    let rest = text.strip_prefix('P').ok_or_else(wrong)?;
    let (days, times) = rest.split_once('T').unwrap_or((rest, ""));
    let mut total = parts_ms(days, &[('D', 86_400_000.0)]).ok_or_else(wrong)?;
    total += parts_ms(times, &[('H', 3_600_000.0), ('M', 60_000.0), ('S', 1000.0)]).ok_or_else(wrong)?;
    if total > 0.0 { Ok(total as i64) } else { Err(wrong()) }
}

fn parts_ms(text: &str, units: &[(char, f64)]) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = text;
    while let Some(end) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let (_, factor) = units.iter().find(|(unit, _)| rest[end..].starts_with(*unit))?;
        total += rest[..end].parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0)? * factor;
        rest = &rest[end + 1..];
    }
    rest.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [("PT1H", Some(3_600_000)), ("P1DT0.5S", Some(86_400_500)), ("P2D", Some(172_800_000))];
        for (text, expected) in cases {
            assert_eq!(duration_ms(text).ok(), expected, "{text}");
        }
        for text in ["", "P", "1H", "PT1X", "PT5", "PT-1S"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn server_lists() {
        assert_eq!(servers("PLAINTEXT://h:1"), Ok(vec![("h".to_owned(), 1)]));
        for text in ["", ",", "h", "h:", "h:99999", ":1"] {
            assert!(servers(text).is_err(), "{text}");
        }
    }
}
