//! `--format`: a text with `%` tokens, those of kcat, written for every record.

use crate::consume::record::Consumed;
use crate::escapes::unescape;

/// One token, or the bytes between two.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Headers,
    Key,
    KeyLength,
    Value,
    ValueLength,
    /// The value's length as four bytes, big-endian.
    ValueLengthBinary,
}

/// A parsed `--format`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Format {
    pieces: Vec<Piece>,
    null_marker: Vec<u8>,
}

impl Format {
    /// Parses the text; a null key or value is written as `null_marker`.
    pub(crate) fn parse(text: &str, null_marker: &[u8]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            push_text(&mut pieces, &unescape(before)?);
            let token =
                after.chars().next().ok_or("the format ends in a lone %; write %% for the sign itself")?;
            match token {
                '%' => push_text(&mut pieces, b"%"),
                _ => pieces.push(token_piece(token)?),
            }
            rest = &after[token.len_utf8()..];
        }
        push_text(&mut pieces, &unescape(rest)?);
        Ok(Self { pieces, null_marker: null_marker.to_vec() })
    }

    /// The format that prints what was asked for, each part ended by its separator.
    pub(crate) fn of_parts(
        headers_separator: Option<&[u8]>,
        key_separator: Option<&[u8]>,
        delimiter: &[u8],
        null_marker: &[u8],
    ) -> Self {
        let mut pieces = Vec::new();
        for (piece, separator) in [(Piece::Headers, headers_separator), (Piece::Key, key_separator)] {
            if let Some(separator) = separator {
                pieces.push(piece);
                push_text(&mut pieces, separator);
            }
        }
        pieces.push(Piece::Value);
        push_text(&mut pieces, delimiter);
        Self { pieces, null_marker: null_marker.to_vec() }
    }

    /// Appends the record to `out`.
    pub(crate) fn write(&self, record: &Consumed<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            self.write_piece(piece, record, out);
        }
    }

    fn write_piece(&self, piece: &Piece, record: &Consumed<'_>, out: &mut Vec<u8>) {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Topic => out.extend_from_slice(record.topic.as_bytes()),
            Piece::Partition => push_number(out, record.partition.into()),
            Piece::Offset => push_number(out, record.offset),
            Piece::Timestamp => push_number(out, record.timestamp_ms),
            Piece::Headers => self.write_headers(record, out),
            Piece::Key => out.extend_from_slice(record.key.unwrap_or(&self.null_marker)),
            Piece::KeyLength => push_number(out, length(record.key)),
            Piece::Value => out.extend_from_slice(record.value.unwrap_or(&self.null_marker)),
            Piece::ValueLength => push_number(out, length(record.value)),
            Piece::ValueLengthBinary => out.extend_from_slice(&length(record.value).to_be_bytes()[4..]),
        }
    }

    fn write_headers(&self, record: &Consumed<'_>, out: &mut Vec<u8>) {
        for (index, (name, value)) in record.headers.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            out.extend_from_slice(value.unwrap_or(&self.null_marker));
        }
    }
}

fn token_piece(token: char) -> Result<Piece, String> {
    match token {
        't' => Ok(Piece::Topic),
        'p' => Ok(Piece::Partition),
        'o' => Ok(Piece::Offset),
        'T' => Ok(Piece::Timestamp),
        'h' => Ok(Piece::Headers),
        'k' => Ok(Piece::Key),
        'K' => Ok(Piece::KeyLength),
        's' => Ok(Piece::Value),
        'S' => Ok(Piece::ValueLength),
        'R' => Ok(Piece::ValueLengthBinary),
        _ => Err(format!("unknown token %{token}: known are %t %p %o %T %h %k %K %s %S %R and %%")),
    }
}

/// Text next to text becomes one piece.
fn push_text(pieces: &mut Vec<Piece>, text: &[u8]) {
    match pieces.last_mut() {
        Some(Piece::Text(before)) => before.extend_from_slice(text),
        _ if text.is_empty() => {}
        _ => pieces.push(Piece::Text(text.to_vec())),
    }
}

fn push_number(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// −1 where there is nothing.
fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consume::record::TimestampSource;

    fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Consumed<'a> {
        Consumed {
            topic: "t",
            partition: 3,
            offset: 42,
            timestamp_ms: 1_700_000_000_000,
            timestamp_source: TimestampSource::Create,
            headers: vec![("a".into(), Some(b"1".as_slice())), ("b".into(), None)],
            key,
            value,
        }
    }

    fn written(format: &Format, record: &Consumed<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        format.write(record, &mut out);
        out
    }

    #[test]
    fn tokens() {
        let table: &[(&str, &[u8])] = &[
            ("", b""),
            ("plain\\n", b"plain\n"),
            ("%t/%p/%o@%T", b"t/3/42@1700000000000"),
            ("%k=%s\\n", b"k=value\n"),
            ("%K,%S", b"1,5"),
            ("%R%s", b"\0\0\0\x05value"),
            ("[%h]", b"[a=1,b=NULL]"),
            ("100%%\\t%s", b"100%\tvalue"),
            ("%%%%", b"%%"),
        ];
        for (text, expected) in table {
            let format = Format::parse(text, b"NULL").unwrap();
            assert_eq!(written(&format, &record(Some(b"k"), Some(b"value"))), *expected, "{text}");
        }
    }

    #[test]
    fn null_is_its_marker_and_has_length_minus_one() {
        let format = Format::parse("%k %K %s %S %R", b"-").unwrap();
        assert_eq!(written(&format, &record(None, None)), b"- -1 - -1 \xff\xff\xff\xff");
    }

    #[test]
    fn wrong_formats() {
        for text in ["%", "a%", "%x", "%ü", "\\q%s"] {
            assert!(Format::parse(text, b"").is_err(), "{text}");
        }
    }

    #[test]
    fn parts_end_in_their_separators() {
        let table: [(Option<&str>, Option<&str>, &str); 3] =
            [(None, None, "v\n"), (None, Some("\t"), "k\tv\n"), (Some("|"), Some(":"), "a=1,b=|k:v\n")];
        for (headers, key, expected) in table {
            let format = Format::of_parts(headers.map(str::as_bytes), key.map(str::as_bytes), b"\n", b"");
            assert_eq!(written(&format, &record(Some(b"k"), Some(b"v"))), expected.as_bytes());
        }
    }
}
