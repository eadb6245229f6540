//! Values of settings: from text, checked against the table, and back to the text Kafka shows.

use std::fmt;

use crate::endpoint::HostCounts;
use crate::setting::{Kind, Setting};

/// A value that is refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid value {value} for configuration {name}: {reason}")]
pub struct InvalidValue {
    /// The setting.
    pub name: String,
    /// The value as given; `[hidden]` where it may be a secret.
    pub value: String,
    /// What is wrong, or what is allowed.
    pub reason: String,
}

impl InvalidValue {
    pub(crate) fn new(name: &str, value: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.to_string(), reason: reason.into() }
    }
}

/// A value of a setting's type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Not set, where the table allows that.
    Null,
    /// Of a boolean.
    Boolean(bool),
    /// Of a short, int or long.
    Integer(i64),
    /// Of a double.
    Double(f64),
    /// Of a string, class or password.
    Text(String),
    /// Of a list: no text is empty, none is there twice.
    List(Vec<String>),
}

impl Setting {
    /// Reads and checks a value of this setting.
    pub fn parse(&self, text: &str) -> Result<Value, InvalidValue> {
        let checked = parse(self.kind, text.trim()).and_then(|value| {
            self.validity.check(&value)?;
            Ok(value)
        });
        checked.map_err(|reason| {
            let shown = if self.is_sensitive() { "[hidden]" } else { text.trim() };
            InvalidValue::new(self.name, shown, reason)
        })
    }

    /// The value when nobody set one; null also where the table demands that somebody does.
    pub fn default_value(&self) -> Value {
        match self.default_text() {
            Some(text) => parse(self.kind, text).expect("a test parses every default of the table"),
            None => Value::Null,
        }
    }
}

fn parse(kind: Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::Boolean => parse_boolean(text).map(Value::Boolean),
        Kind::Short => parse_integer(text, i64::from(i16::MIN), i64::from(i16::MAX)),
        Kind::Int => parse_integer(text, i64::from(i32::MIN), i64::from(i32::MAX)),
        Kind::Long => parse_integer(text, i64::MIN, i64::MAX),
        Kind::Double => text.parse().map(Value::Double).map_err(|_| "must be a number".to_owned()),
        Kind::String | Kind::Class | Kind::Password => Ok(Value::Text(text.to_owned())),
        Kind::List => parse_list(text).map(Value::List),
    }
}

fn parse_boolean(text: &str) -> Result<bool, String> {
    if text.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err("must be true or false".to_owned())
    }
}

fn parse_integer(text: &str, min: i64, max: i64) -> Result<Value, String> {
    match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
        _ => Err(format!("must be a whole number from {min} to {max}")),
    }
}

fn parse_list(text: &str) -> Result<Vec<String>, String> {
    let mut list: Vec<String> = Vec::new();
    if text.is_empty() {
        return Ok(list);
    }
    for entry in text.split(',').map(str::trim) {
        if entry.is_empty() {
            return Err("entries of the list must not be empty".to_owned());
        }
        if !list.iter().any(|known| known == entry) {
            list.push(entry.to_owned());
        }
    }
    Ok(list)
}

impl Value {
    /// The value as Kafka shows it; `None` for null.
    pub fn to_text(&self) -> Option<String> {
        match self {
            Value::Null => None,
            Value::Boolean(value) => Some(value.to_string()),
            Value::Integer(value) => Some(value.to_string()),
            Value::Double(value) => Some(java_double(*value)),
            Value::Text(value) => Some(value.clone()),
            Value::List(value) => Some(value.join(",")),
        }
    }
}

/// A number as Java writes it: with a fraction always, and with an exponent outside of 0.001 to 10,000,000.
fn java_double(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e7).contains(&size) && value.is_finite() {
        let text = format!("{value:E}");
        return match text.split_once('E') {
            Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
            _ => text,
        };
    }
    if size.is_infinite() {
        return if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    format!("{value:?}")
}

/// A type that a field of a snapshot may have.
pub(crate) trait FromValue {
    /// Turns a checked value into the field's type; only a row whose type does not match its field gets here wrongly.
    fn from_value(value: Value) -> Self;
}

macro_rules! from_value {
    ($($type:ty, $pattern:pat => $result:expr, $expected:literal;)+) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Self {
                match value {
                    $pattern => $result,
                    other => unreachable!(concat!("the table says ", $expected, ", but there is {:?}"), other),
                }
            }
        }
    )+};
}

const IN_RANGE: &str = "the value was checked against its type";

from_value! {
    bool, Value::Boolean(value) => value, "boolean";
    i16, Value::Integer(value) => value.try_into().expect(IN_RANGE), "short";
    i32, Value::Integer(value) => value.try_into().expect(IN_RANGE), "int";
    i64, Value::Integer(value) => value, "long";
    f64, Value::Double(value) => value, "double";
    String, Value::Text(value) => value, "string";
    Vec<String>, Value::List(value) => value, "list";
}

impl FromValue for HostCounts {
    fn from_value(value: Value) -> Self {
        Self::parse(&String::from_value(value)).expect("the value was checked against its validity")
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Self {
        match value {
            Value::Null => None,
            value => Some(T::from_value(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_java_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (0.9, "0.9"),
            (1.0, "1.0"),
            (0.001, "0.001"),
            (0.0005, "5.0E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::INFINITY, "Infinity"),
        ];
        for (value, expected) in cases {
            assert_eq!(java_double(value), expected);
        }
    }
}
