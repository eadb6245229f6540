//! Records as text: `headers SEPARATOR key SEPARATOR value`, where headers and key are there only if a separator
//! for them was given. Keys and values may be any bytes that do not contain the separator before them.

use crate::produce::record::{Header, NewRecord};

/// How a line of input becomes a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TextFormat {
    /// Ends the headers, which stand first and look like `name=value,name=value`.
    pub(crate) headers_separator: Option<Vec<u8>>,
    /// Ends the key.
    pub(crate) key_separator: Option<Vec<u8>>,
    /// A key, value or header value that equals this is null.
    pub(crate) null_marker: Option<Vec<u8>>,
}

/// Why a line is no record.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum TextError {
    #[error("there is no '{0}' after the headers; an empty list of headers needs it too")]
    NoHeadersSeparator(String),
    #[error(
        "there is no '{0}' after the key; give another --key-separator, or none for records without keys"
    )]
    NoKeySeparator(String),
    #[error("'{0}' is no header; headers look like name=value,name=value")]
    NotAHeader(String),
}

impl TextFormat {
    pub(crate) fn parse(&self, line: &[u8]) -> Result<NewRecord, TextError> {
        let mut rest = line;
        let mut record = NewRecord::default();
        if let Some(separator) = &self.headers_separator {
            let (headers, tail) =
                split_once(rest, separator).ok_or_else(|| TextError::NoHeadersSeparator(shown(separator)))?;
            record.headers = self.parse_headers(headers)?;
            rest = tail;
        }
        if let Some(separator) = &self.key_separator {
            let (key, tail) =
                split_once(rest, separator).ok_or_else(|| TextError::NoKeySeparator(shown(separator)))?;
            record.key = self.nullable(key);
            rest = tail;
        }
        record.value = self.nullable(rest);
        Ok(record)
    }

    /// `name=value,name=value`; nothing at all is no headers.
    fn parse_headers(&self, text: &[u8]) -> Result<Vec<Header>, TextError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        text.split(|byte| *byte == b',').map(|header| self.parse_header(header)).collect()
    }

    fn parse_header(&self, text: &[u8]) -> Result<Header, TextError> {
        let not_a_header = || TextError::NotAHeader(shown(text));
        let (name, value) = split_once(text, b"=").ok_or_else(not_a_header)?;
        let name = str::from_utf8(name).map_err(|_| not_a_header())?;
        Ok((name.to_owned(), self.nullable(value)))
    }

    fn nullable(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.null_marker.as_deref() == Some(bytes) { None } else { Some(bytes.to_vec()) }
    }
}

/// A header given as an argument: `name=value`, or `name` alone for one whose value is null.
pub(crate) fn header_argument(text: &str) -> Result<Header, String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), Some(value.as_bytes().to_vec()))),
        None => Ok((text.to_owned(), None)),
    }
}

fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

/// Bytes as a message can show them.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(headers: &str, key: &str, null: &str) -> TextFormat {
        let part = |text: &str| (!text.is_empty()).then(|| text.as_bytes().to_vec());
        TextFormat { headers_separator: part(headers), key_separator: part(key), null_marker: part(null) }
    }

    fn bytes(text: &str) -> Option<Vec<u8>> {
        Some(text.as_bytes().to_vec())
    }

    #[test]
    fn keys_and_values() {
        let table = [
            ("", "", "a:b", None, bytes("a:b")),
            (":", "", "a:b", bytes("a"), bytes("b")),
            (":", "", "a:b:c", bytes("a"), bytes("b:c")),
            (":", "", ":", bytes(""), bytes("")),
            ("::", "", "a:b::c", bytes("a:b"), bytes("c")),
            (":", "NULL", "NULL:NULL", None, None),
            (":", "NULL", "NULL :", bytes("NULL "), bytes("")),
        ];
        for (key_separator, null, line, key, value) in table {
            let record = format("", key_separator, null).parse(line.as_bytes()).unwrap();
            assert_eq!((record.key, record.value), (key, value), "{line}");
        }
    }

    #[test]
    fn headers_stand_before_the_key() {
        let record = format("\t", ":", "-").parse(b"a=1,b=x=y,a=-,c=\tk:v").unwrap();
        let headers = [("a", bytes("1")), ("b", bytes("x=y")), ("a", None), ("c", bytes(""))]
            .map(|(n, v)| (n.to_owned(), v));
        assert_eq!(record.headers, headers);
        assert_eq!((record.key, record.value), (bytes("k"), bytes("v")));
        assert_eq!(format("\t", "", "").parse(b"\tv").unwrap().headers, []);
    }

    #[test]
    fn values_may_be_any_bytes() {
        let record = format("", "\t", "").parse(b"\xff\t\x00\xfe").unwrap();
        assert_eq!((record.key, record.value), (Some(vec![0xff]), Some(vec![0, 0xfe])));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(format("", "\t", "").parse(b"a:b"), Err(TextError::NoKeySeparator("\\t".into())));
        assert_eq!(format(";", "", "").parse(b"a:b"), Err(TextError::NoHeadersSeparator(";".into())));
        assert_eq!(format(";", "", "").parse(b"a:b;v"), Err(TextError::NotAHeader("a:b".into())));
    }
}
