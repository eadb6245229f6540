//! `--json`: one object a line for every record, as `klamm produce --json` reads it back:
//! `{"topic":"t","partition":0,"offset":5,"timestamp":1700000000000,"timestamp_type":"create","headers":[…],"key":"k","value":"v"}`.
//!
//! A key or value that is no UTF-8 comes as Base64, in a field whose name ends in `_base64`.

use std::io::Write;

use crate::base64;
use crate::consume::record::{Consumed, TimestampSource};

/// Appends the record and a line feed to `out`.
pub(crate) fn write(record: &Consumed<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"topic\":");
    write_text(out, record.topic);
    let source = match record.timestamp_source {
        TimestampSource::Create => "create",
        TimestampSource::LogAppend => "log_append",
    };
    let position = format!(
        ",\"partition\":{},\"offset\":{},\"timestamp\":{},\"timestamp_type\":\"{source}\"",
        record.partition, record.offset, record.timestamp_ms
    );
    out.extend_from_slice(position.as_bytes());
    write_headers(record, out);
    out.push(b',');
    write_bytes(out, "key", record.key);
    out.push(b',');
    write_bytes(out, "value", record.value);
    out.extend_from_slice(b"}\n");
}

/// Nothing at all for a record without headers.
fn write_headers(record: &Consumed<'_>, out: &mut Vec<u8>) {
    if record.headers.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"headers\":[");
    for (index, (name, value)) in record.headers.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"name\":" } else { b",{\"name\":" });
        write_text(out, name);
        out.push(b',');
        write_bytes(out, "value", *value);
        out.push(b'}');
    }
    out.push(b']');
}

/// `"name":"text"`, `"name_base64":"…"` or `"name":null`.
fn write_bytes(out: &mut Vec<u8>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (bytes, str::from_utf8(bytes))) {
        None => out.extend_from_slice(format!("\"{name}\":null").as_bytes()),
        Some((_, Ok(text))) => {
            out.extend_from_slice(format!("\"{name}\":").as_bytes());
            write_text(out, text);
        }
        Some((bytes, Err(_))) => {
            let coded = base64::encode(bytes);
            out.extend_from_slice(format!("\"{name}_base64\":\"{coded}\"").as_bytes());
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out.by_ref(), text).expect("text is always JSON, and a vector takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::produce::{json, record::NewRecord};

    fn record<'a>(headers: Vec<(&'static str, Option<&'a [u8]>)>, value: Option<&'a [u8]>) -> Consumed<'a> {
        Consumed {
            topic: "t",
            partition: 3,
            offset: 42,
            timestamp_ms: 5,
            timestamp_source: TimestampSource::Create,
            headers: headers.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            key: None,
            value,
        }
    }

    fn written(record: &Consumed<'_>) -> String {
        let mut out = Vec::new();
        write(record, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_object_a_line() {
        let start = r#"{"topic":"t","partition":3,"offset":42,"timestamp":5,"timestamp_type":"create","#;
        let table = [
            (record(vec![], None), r#""key":null,"value":null}"#),
            (record(vec![], Some(b"a\"\n")), r#""key":null,"value":"a\"\n"}"#),
            (record(vec![], Some(b"\xff")), r#""key":null,"value_base64":"/w=="}"#),
            (
                record(vec![("a", Some(b"1")), ("b", None)], Some(b"")),
                r#""headers":[{"name":"a","value":"1"},{"name":"b","value":null}],"key":null,"value":""}"#,
            ),
        ];
        for (record, end) in table {
            assert_eq!(written(&record), format!("{start}{end}\n"));
        }
    }

    #[test]
    fn produce_reads_what_consume_wrote() {
        let line = written(&record(vec![("h", Some(b"\xfe")), ("h", None)], Some(b"\x00\xff")));
        let expected = NewRecord {
            key: None,
            value: Some(vec![0, 255]),
            headers: vec![("h".into(), Some(vec![0xfe])), ("h".into(), None)],
            partition: Some(3),
            timestamp_ms: Some(5),
        };
        assert_eq!(json::parse(line.as_bytes()), Ok(expected));
    }
}
