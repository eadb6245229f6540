//! `--from`: where consuming begins.

use crate::time::{parse_datetime, parse_time};

/// Where to begin in every partition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Position {
    Beginning,
    End,
    Offset(i64),
    /// So many records before the end.
    BeforeEnd(i64),
    /// The first record at or after a time, in milliseconds since 1970.
    Time(i64),
}

impl Position {
    /// `now_ms` is what ages count from.
    pub(crate) fn parse(text: &str, now_ms: i64) -> Result<Self, String> {
        if let Some(time) = text.strip_prefix('@') {
            return parse_time(time, now_ms).map(Self::Time);
        }
        match text {
            "beginning" | "earliest" => return Ok(Self::Beginning),
            "end" | "latest" => return Ok(Self::End),
            _ => {}
        }
        if let Some(offset) = parse_offset(text) {
            return Ok(offset);
        }
        parse_datetime(text).map(Self::Time).ok_or_else(|| {
            format!("'{text}' is no place to begin: give beginning, end, an offset, -N for the last N, or @TIME as @2h or @2026-03-31T18:00:00Z")
        })
    }
}

fn parse_offset(text: &str) -> Option<Position> {
    let number: i64 = text.parse().ok()?;
    match (number, text.starts_with('-')) {
        (_, true) => number.checked_neg().map(Position::BeforeEnd),
        (_, false) => Some(Position::Offset(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        let table = [
            ("beginning", Position::Beginning),
            ("earliest", Position::Beginning),
            ("end", Position::End),
            ("0", Position::Offset(0)),
            ("42", Position::Offset(42)),
            ("-10", Position::BeforeEnd(10)),
            ("@42", Position::Time(42)),
            ("@1s", Position::Time(9_000)),
            ("@1970-01-02", Position::Time(86_400_000)),
            ("1970-01-02", Position::Time(86_400_000)),
        ];
        for (text, position) in table {
            assert_eq!(Position::parse(text, 10_000), Ok(position), "{text}");
        }
        for text in ["", "start", "@", "--1", "1.5", "2h"] {
            assert!(Position::parse(text, 0).is_err(), "{text}");
        }
    }
}
