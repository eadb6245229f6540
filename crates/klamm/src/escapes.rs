//! Backslash escapes in arguments that name bytes: `\n \r \t \0 \\ \xHH`.

/// The bytes an argument stands for, or what is wrong with it.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (escaped, length) = escape(rest).ok_or_else(|| {
            format!(
                "unknown escape in '{text}': known are \\n \\r \\t \\0 \\\\ and \\xHH with two hex digits"
            )
        })?;
        bytes.push(escaped);
        rest = &rest[length..];
    }
    Ok(bytes)
}

/// As [`unescape`], for separators, which are never empty.
pub(crate) fn separator(text: &str) -> Result<Vec<u8>, String> {
    let bytes = unescape(text)?;
    if bytes.is_empty() { Err("a separator cannot be empty".to_owned()) } else { Ok(bytes) }
}

/// The byte after a backslash stands for, and how many bytes it took.
fn escape(rest: &[u8]) -> Option<(u8, usize)> {
    match rest.first()? {
        b'n' => Some((b'\n', 1)),
        b'r' => Some((b'\r', 1)),
        b't' => Some((b'\t', 1)),
        b'0' => Some((0, 1)),
        b'\\' => Some((b'\\', 1)),
        b'x' => {
            let digits = rest.get(1..3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            let digits = str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, 3))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes() {
        let table: &[(&str, &[u8])] = &[
            ("", b""),
            ("plain ü", "plain ü".as_bytes()),
            (r"\n\r\t\0\\", b"\n\r\t\0\\"),
            (r"a\x00\xffb", b"a\x00\xffb"),
        ];
        for (text, bytes) in table {
            assert_eq!(unescape(text).as_deref(), Ok(*bytes), "{text}");
        }
    }

    #[test]
    fn unknown_escapes_are_refused() {
        for text in [r"\", r"\q", r"\x", r"\x1", r"\x+1", r"\xgg"] {
            assert!(unescape(text).is_err(), "{text}");
        }
        assert!(separator("").is_err());
    }
}
