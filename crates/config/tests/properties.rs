//! The `.properties` reader against what `java.util.Properties` made of the same bytes.
//!
//! A line of `data/properties.txt` is the file's bytes, then either `error` or its properties as `key=value,…`, sorted;
//! everything in hexadecimal, keys and values in UTF-8.

use std::collections::BTreeMap;

use klamm_config::properties::{self, PropertiesError};

const VECTORS: &str = include_str!("data/properties.txt");

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn read(bytes: &[u8]) -> String {
    let Ok(properties) = properties::parse(bytes) else { return "error".to_owned() };
    let last_wins: BTreeMap<_, _> = properties.iter().map(|p| (hex(&p.key), hex(&p.value))).collect();
    let shown: Vec<_> = last_wins.iter().map(|(key, value)| format!("{key}={value}")).collect();
    shown.join(",")
}

#[test]
fn every_file_reads_as_java_reads_it() {
    for line in VECTORS.lines() {
        let (bytes, expected) = line.split_once(' ').unwrap();
        let bytes = unhex(bytes);
        assert_eq!(read(&bytes), expected, "{:?}", String::from_utf8_lossy(&bytes));
    }
    assert!(VECTORS.lines().count() > 700);
}

#[test]
fn properties_know_the_line_they_begin_on() {
    let properties = properties::parse(b"# one\n\na=1\\\n  2\r\nb : 3\r\\\n\\\nc=4").unwrap();
    let lines: Vec<_> = properties.iter().map(|p| (p.key.as_str(), p.value.as_str(), p.line)).collect();
    assert_eq!(lines, [("a", "12", 3), ("b", "3", 5), ("c", "4", 8)]);
}

#[test]
fn a_bad_escape_names_its_line() {
    let error = properties::parse(b"a=1\nb=\\u00x1").unwrap_err();
    assert_eq!(error, PropertiesError::Unicode { line: 2 });
    assert_eq!(error.to_string(), "line 2: \\u must be followed by four hexadecimal digits");
}
