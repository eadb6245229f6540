//! Times and durations as arguments and in output. Times are milliseconds since 1970-01-01T00:00 UTC, as Kafka's.
//!
//! A datetime without a zone is taken as UTC: the same command line means the same records on every machine.

use std::time::{SystemTime, UNIX_EPOCH};

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_MS: i64 = 7 * DAY_MS;

/// The clock of this machine.
pub(crate) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// A point in time: `now`, an ISO-8601 date or datetime, milliseconds since 1970, or a duration, which means
/// that long before `now_ms`.
pub(crate) fn parse_time(text: &str, now_ms: i64) -> Result<i64, String> {
    if text == "now" {
        return Ok(now_ms);
    }
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(ms);
    }
    if let Some(ms) = parse_datetime(text) {
        return Ok(ms);
    }
    match parse_duration(text) {
        Ok(ms) => Ok(now_ms.saturating_sub(ms)),
        Err(_) => Err(format!(
            "'{text}' is no time: give 2026-03-31, 2026-03-31T18:00:00Z, milliseconds since 1970, or how long ago, as 90s or 2h"
        )),
    }
}

/// An ISO-8601 date or datetime in milliseconds, `None` where it is none: `YYYY-MM-DD`, then optionally `T` (or a
/// blank) and `hh:mm[:ss[.fraction]]`, then optionally `Z` or `±hh:mm`.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    let (date, time) = match text.find(['T', ' ']) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, "00:00"),
    };
    let (time, zone_ms) = split_zone(time)?;
    Some(parse_date(date)? * DAY_MS + parse_clock(time)? - zone_ms)
}

/// Days since 1970 of `YYYY-MM-DD`.
fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = digits(parts.next()?, 2).filter(|month| (1..=12).contains(month))?;
    let day = digits(parts.next()?, 2).filter(|day| (1..=days_in_month(year, month)).contains(day))?;
    if parts.next().is_some() { None } else { Some(days_from_civil(year, month, day)) }
}

/// Milliseconds since midnight of `hh:mm[:ss[.fraction]]`.
fn parse_clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hour = digits(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = digits(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let seconds = parts.next().unwrap_or("00");
    let (second, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let second = digits(second, 2).filter(|second| *second < 60)?;
    if parts.next().is_some() {
        return None;
    }
    Some(hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS + parse_fraction(fraction)?)
}

/// Milliseconds of the digits after the decimal point; what is finer is dropped.
fn parse_fraction(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.bytes().chain(*b"00").take(3).try_fold(0, |ms, digit| Some(ms * 10 + i64::from(digit - b'0')))
}

/// Splits `Z` or `±hh:mm` off; the second half is the zone's distance from UTC in milliseconds.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix('Z') {
        return Some((time, 0));
    }
    let Some(at) = text.find(['+', '-']) else {
        return Some((text, 0));
    };
    let zone = &text[at + 1..];
    let (hours, minutes) = zone.split_once(':').or_else(|| zone.split_at_checked(2))?;
    let minutes = if minutes.is_empty() { 0 } else { digits(minutes, 2).filter(|minutes| *minutes < 60)? };
    let distance_ms = digits(hours, 2).filter(|hours| *hours < 24)? * HOUR_MS + minutes * MINUTE_MS;
    Some((&text[..at], if text.as_bytes()[at] == b'-' { -distance_ms } else { distance_ms }))
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let right = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if right { text.parse().ok() } else { None }
}

/// A duration in milliseconds: units `ms s m h d w`, also several as `1h30m`, or ISO-8601 as `PT1H30M` or `P1DT2H`.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let parsed = match text.strip_prefix('P') {
        Some(iso) => parse_iso_duration(iso),
        None => parse_units(
            text,
            &[("ms", 1), ("s", SECOND_MS), ("m", MINUTE_MS), ("h", HOUR_MS), ("d", DAY_MS), ("w", WEEK_MS)],
        ),
    };
    parsed.ok_or_else(|| {
        format!("'{text}' is no duration: give a number with ms, s, m, h, d or w, as 90s, 2h or 1d12h")
    })
}

/// What follows the `P`.
fn parse_iso_duration(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let date_ms = if date.is_empty() { 0 } else { parse_units(date, &[("D", DAY_MS), ("W", WEEK_MS)])? };
    let time_ms = if time.is_empty() {
        0
    } else {
        parse_units(time, &[("S", SECOND_MS), ("M", MINUTE_MS), ("H", HOUR_MS)])?
    };
    date_ms.checked_add(time_ms)
}

/// One or more of number and unit, without anything between them.
fn parse_units(text: &str, units: &[(&str, i64)]) -> Option<i64> {
    let mut rest = text;
    let mut total_ms = 0i64;
    loop {
        let number_end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let (_, unit_ms) = units.iter().find(|(name, _)| *name == unit)?;
        total_ms = total_ms.checked_add(number.parse::<i64>().ok()?.checked_mul(*unit_ms)?)?;
        if tail.is_empty() {
            return Some(total_ms);
        }
        rest = tail;
    }
}

/// `2026-03-31T18:00:00.000Z`; a time before year 0 or after 9999 is shown as its number.
pub(crate) fn format_time(ms: i64) -> String {
    let (year, month, day) = civil_from_days(ms.div_euclid(DAY_MS));
    if !(0..=9999).contains(&year) {
        return ms.to_string();
    }
    let clock = ms.rem_euclid(DAY_MS);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        clock / HOUR_MS,
        clock / MINUTE_MS % 60,
        clock / SECOND_MS % 60,
        clock % SECOND_MS
    )
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar. Counts in eras of 400 years that begin in March, so that
/// the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datetimes() {
        let table = [
            ("1970-01-01", 0),
            ("1970-01-01T00:00", 0),
            ("1970-01-01T00:00:01.5Z", 1_500),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2000-02-29 12:00:00", 951_825_600_000),
            ("2023-11-14T22:13:20.123Z", 1_700_000_000_123),
            ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123),
            ("2023-11-14T23:13:20+01:00", 1_700_000_000_000),
            ("2023-11-14T17:43:20-0430", 1_700_000_000_000),
            ("1969-12-31T23:59:59.999Z", -1),
        ];
        for (text, ms) in table {
            assert_eq!(parse_datetime(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn wrong_datetimes() {
        let table = [
            "",
            "2023",
            "2023-1-1",
            "2023-13-01",
            "2023-02-29",
            "2023-01-01T",
            "2023-01-01T24:00",
            "2023-01-01T10",
            "2023-01-01T10:60",
            "2023-01-01T10:00:00.",
            "2023-01-01T10:00:00:00",
            "2023-01-01T10:00+1",
            "2023-01-01T10:00:00Zz",
            "2023-01-01-01",
            "2023-01-01T10:00+é",
        ];
        for text in table {
            assert_eq!(parse_datetime(text), None, "{text}");
        }
    }

    #[test]
    fn formatted_times_read_back() {
        assert_eq!(format_time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(format_time(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(format_time(i64::MAX), i64::MAX.to_string());
        for day in (-200_000..1_000_000).step_by(97) {
            let ms = day * DAY_MS + 12_345_678;
            assert_eq!(parse_datetime(&format_time(ms)), Some(ms));
        }
    }

    #[test]
    fn durations() {
        let table = [
            ("500ms", 500),
            ("0s", 0),
            ("90s", 90_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("1w", 604_800_000),
            ("PT2H", 7_200_000),
            ("PT0S", 0),
            ("P1DT1H1M1S", 90_061_000),
        ];
        for (text, ms) in table {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for text in
            ["", "5", "h", "5x", "-5s", "5s5", "P", "PT", "P1H", "99999999999999999999s", "9999999999999999w"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_datetimes_or_numbers_or_ages() {
        let now_ms = 1_700_000_000_000;
        assert_eq!(parse_time("now", now_ms), Ok(now_ms));
        assert_eq!(parse_time("1234", now_ms), Ok(1234));
        assert_eq!(parse_time("2h", now_ms), Ok(now_ms - 7_200_000));
        assert_eq!(parse_time("2023-11-14T22:13:20Z", now_ms), Ok(now_ms));
        assert!(parse_time("yesterday", now_ms).is_err());
    }
}
