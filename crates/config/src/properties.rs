//! Reads `.properties` files exactly as `java.util.Properties` does, and remembers the lines.
//!
//! Bytes are ISO 8859-1; other characters are written `\uXXXX`. A line ends in LF, CR or both; a backslash at its end
//! joins it to the next, whose leading blanks do not count. Comments start with `#` or `!`. A key ends at the first
//! unescaped `=`, `:` or blank.

use std::vec::IntoIter;

/// One key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// The key.
    pub key: String,
    /// The value, blanks at its end included.
    pub value: String,
    /// The line it begins on, the first being 1.
    pub line: usize,
}

/// A file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    /// `\u` without four hexadecimal digits.
    #[error("line {line}: \\u must be followed by four hexadecimal digits")]
    Unicode {
        /// The line the property begins on.
        line: usize,
    },
}

/// Reads a file's bytes into its properties, in the file's order; of a key that is there twice, the last counts.
pub fn parse(bytes: &[u8]) -> Result<Vec<Property>, PropertiesError> {
    let mut lines = Lines::new(bytes);
    let mut properties = Vec::new();
    while let Some((line, text)) = lines.next_logical() {
        let (key, value) = split(&text);
        let unescape = |text| unescape(text).ok_or(PropertiesError::Unicode { line });
        properties.push(Property { key: unescape(key)?, value: unescape(value)?, line });
    }
    Ok(properties)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// Logical lines: comments and empty lines left out, continued lines joined.
struct Lines {
    rest: IntoIter<(usize, String)>,
}

impl Lines {
    fn new(bytes: &[u8]) -> Self {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let lines: Vec<_> = text.split('\n').enumerate().map(|(i, line)| (i + 1, line.to_owned())).collect();
        Self { rest: lines.into_iter() }
    }

    fn next_logical(&mut self) -> Option<(usize, String)> {
        let mut start = None;
        let mut logical = String::new();
        for (number, line) in self.rest.by_ref() {
            let line = line.trim_start_matches(is_blank);
            // A line that holds nothing yet is still a new one, even after a lone backslash.
            if logical.is_empty() {
                start = None;
                if line.is_empty() || line.starts_with(['#', '!']) {
                    continue;
                }
            }
            let first = *start.get_or_insert(number);
            logical.push_str(line);
            if (line.len() - line.trim_end_matches('\\').len()) % 2 == 0 {
                return Some((first, logical));
            }
            logical.pop();
        }
        start.map(|first| (first, logical))
    }
}

/// Splits a logical line into key and value, both still escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c| {
        let ends = !escaped && (is_blank(c) || c == '=' || c == ':');
        escaped = c == '\\' && !escaped;
        ends
    });
    let Some(end) = end else { return (line, "") };
    let value = line[end..].trim_start_matches(is_blank);
    let value = value.strip_prefix(['=', ':']).map_or(value, |value| value.trim_start_matches(is_blank));
    (&line[..end], value)
}

/// Resolves escapes; `None` when `\u` lacks its digits. A backslash before any other character just goes away.
fn unescape(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            units.push(c as u16);
            continue;
        }
        match chars.next() {
            Some('u') => units.push(hexadecimal(&mut chars)?),
            Some('t') => units.push(u16::from(b'\t')),
            Some('r') => units.push(u16::from(b'\r')),
            Some('n') => units.push(u16::from(b'\n')),
            Some('f') => units.push(0x0c),
            Some(other) => units.push(other as u16),
            None => {}
        }
    }
    Some(String::from_utf16_lossy(&units))
}

fn hexadecimal(chars: &mut std::str::Chars<'_>) -> Option<u16> {
    (0..4).try_fold(0, |unit, _| Some(unit << 4 | chars.next()?.to_digit(16)? as u16))
}
