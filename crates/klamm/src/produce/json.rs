//! Records as JSON lines, the same objects that `klamm consume --json` writes:
//! `{"key": …, "value": …, "headers": [{"name": …, "value": …}], "partition": 0, "timestamp": 1700000000000}`.
//!
//! Every field may be left out; left out and `null` are the same. Text is itself, any other JSON is its own text, and
//! bytes that are no text come as Base64 in `key_base64`, `value_base64`. Where a record came from (topic, offset, …) is read
//! over, anything else unknown is refused.

use serde_json::{Map, Value};

use crate::base64;
use crate::produce::record::{Header, NewRecord};

/// Why a line is no record.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("it is no JSON: {0}")]
    Syntax(String),
    #[error("it is no JSON object, as {{\"key\": \"k\", \"value\": \"v\"}}")]
    NotAnObject,
    #[error(
        "unknown field '{0}': known are key, value, headers, partition, timestamp, key_base64, value_base64"
    )]
    UnknownField(String),
    #[error("'{field}' is {found}, not {wanted}")]
    WrongType { field: &'static str, wanted: &'static str, found: String },
    #[error("both '{0}' and '{0}_base64' are there")]
    Twice(&'static str),
}

pub(crate) fn parse(line: &[u8]) -> Result<NewRecord, JsonError> {
    let value: Value = serde_json::from_slice(line).map_err(|error| JsonError::Syntax(error.to_string()))?;
    let Value::Object(mut fields) = value else { return Err(JsonError::NotAnObject) };
    let record = NewRecord {
        key: take_bytes(&mut fields, "key", "key_base64")?,
        value: take_bytes(&mut fields, "value", "value_base64")?,
        headers: take_headers(&mut fields)?,
        partition: take_partition(&mut fields)?,
        timestamp_ms: take_integer(&mut fields, "timestamp")?,
    };
    for origin in ["topic", "offset", "timestamp_type", "leader_epoch"] {
        fields.remove(origin);
    }
    match fields.into_iter().next() {
        Some((unknown, _)) => Err(JsonError::UnknownField(unknown)),
        None => Ok(record),
    }
}

fn take_bytes(
    fields: &mut Map<String, Value>,
    plain: &'static str,
    coded: &'static str,
) -> Result<Option<Vec<u8>>, JsonError> {
    match (take(fields, plain), take(fields, coded)) {
        (Some(_), Some(_)) => Err(JsonError::Twice(plain)),
        (Some(Value::String(text)), None) => Ok(Some(text.into_bytes())),
        (Some(other), None) => Ok(Some(other.to_string().into_bytes())),
        (None, Some(Value::String(text))) => {
            base64::decode(&text).map(Some).ok_or_else(|| wrong(coded, "Base64", &Value::String(text)))
        }
        (None, Some(other)) => Err(wrong(coded, "Base64", &other)),
        (None, None) => Ok(None),
    }
}

/// A list of `{"name": …, "value": …}`, or an object for those whose names do not repeat.
fn take_headers(fields: &mut Map<String, Value>) -> Result<Vec<Header>, JsonError> {
    match take(fields, "headers") {
        None => Ok(Vec::new()),
        Some(Value::Object(map)) => map.into_iter().map(header_of_pair).collect(),
        Some(Value::Array(list)) => list.into_iter().map(header_of_object).collect(),
        Some(other) => Err(wrong("headers", "a list or an object", &other)),
    }
}

fn header_of_pair((name, value): (String, Value)) -> Result<Header, JsonError> {
    let mut fields = Map::from_iter([("value".to_owned(), value)]);
    Ok((name, take_bytes(&mut fields, "value", "value_base64")?))
}

fn header_of_object(header: Value) -> Result<Header, JsonError> {
    let Value::Object(mut fields) = header else {
        return Err(wrong("headers", "a list of objects with name and value", &header));
    };
    let Some(Value::String(name)) = take(&mut fields, "name") else {
        return Err(wrong("headers", "a list of objects with name and value", &Value::Object(fields)));
    };
    let value = take_bytes(&mut fields, "value", "value_base64")?;
    match fields.into_iter().next() {
        Some((unknown, _)) => Err(JsonError::UnknownField(unknown)),
        None => Ok((name, value)),
    }
}

fn take_partition(fields: &mut Map<String, Value>) -> Result<Option<i32>, JsonError> {
    let partition = take_integer(fields, "partition")?;
    let valid = |partition| i32::try_from(partition).ok().filter(|partition| *partition >= 0);
    partition
        .map(|number| {
            valid(number).ok_or_else(|| wrong("partition", "the number of a partition", &number.into()))
        })
        .transpose()
}

fn take_integer(fields: &mut Map<String, Value>, name: &'static str) -> Result<Option<i64>, JsonError> {
    take(fields, name)
        .map(|value| value.as_i64().ok_or_else(|| wrong(name, "a whole number", &value)))
        .transpose()
}

/// The field, `None` also where it is null.
fn take(fields: &mut Map<String, Value>, name: &str) -> Option<Value> {
    fields.remove(name).filter(|value| !value.is_null())
}

fn wrong(field: &'static str, wanted: &'static str, found: &Value) -> JsonError {
    JsonError::WrongType { field, wanted, found: found.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: Option<&[u8]>, value: Option<&[u8]>) -> NewRecord {
        NewRecord { key: key.map(Into::into), value: value.map(Into::into), ..NewRecord::default() }
    }

    #[test]
    fn keys_and_values() {
        let table = [
            (r#"{}"#, record(None, None)),
            (r#"{"key":null,"value":null}"#, record(None, None)),
            (r#"{"key":"k","value":"ü"}"#, record(Some(b"k"), Some("ü".as_bytes()))),
            (r#"{"value":{"a": [1, 2.5]}}"#, record(None, Some(br#"{"a":[1,2.5]}"#))),
            (r#"{"key":7,"value":true}"#, record(Some(b"7"), Some(b"true"))),
            (r#"{"key_base64":"/w==","value_base64":""}"#, record(Some(&[255]), Some(b""))),
            (r#"{"topic":"t","offset":5,"timestamp_type":"create","leader_epoch":0}"#, record(None, None)),
        ];
        for (line, expected) in table {
            assert_eq!(parse(line.as_bytes()), Ok(expected), "{line}");
        }
    }

    #[test]
    fn headers_partition_and_timestamp() {
        let line = r#"{"headers":[{"name":"a","value":"1"},{"name":"a"},{"name":"b","value_base64":"AP8="}],"partition":3,"timestamp":-1}"#;
        let parsed = parse(line.as_bytes()).unwrap();
        let headers = [("a", Some(b"1".to_vec())), ("a", None), ("b", Some(vec![0, 255]))];
        assert_eq!(parsed.headers, headers.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!((parsed.partition, parsed.timestamp_ms), (Some(3), Some(-1)));
        let short = parse(br#"{"headers":{"a":"1","b":null}}"#).unwrap();
        assert_eq!(short.headers, [("a".to_owned(), Some(b"1".to_vec())), ("b".to_owned(), None)]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            ("[]", "it is no JSON object"),
            ("{", "it is no JSON: EOF"),
            (r#"{"vlaue":"x"}"#, "unknown field 'vlaue'"),
            (r#"{"key":"a","key_base64":"YQ=="}"#, "both 'key' and 'key_base64'"),
            (r#"{"value_base64":"!"}"#, "'value_base64' is \"!\", not Base64"),
            (r#"{"value_base64":1}"#, "'value_base64' is 1, not Base64"),
            (r#"{"partition":-1}"#, "'partition' is -1"),
            (r#"{"partition":"0"}"#, "'partition' is \"0\""),
            (r#"{"timestamp":1.5}"#, "'timestamp' is 1.5, not a whole number"),
            (r#"{"headers":"a"}"#, "'headers' is \"a\""),
            (r#"{"headers":["a"]}"#, "'headers' is \"a\""),
            (r#"{"headers":[{"value":"a"}]}"#, "'headers' is {\"value\":\"a\"}"),
            (r#"{"headers":[{"name":"a","x":1}]}"#, "unknown field 'x'"),
        ];
        for (line, message) in table {
            let error = parse(line.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(message), "{line}: {error}");
        }
    }
}
