//! Error codes: one constant each, and the table behind their names and classes.

use std::fmt::Write as _;

/// `impl ErrorCode` with the constants, and `ERRORS`, sorted by code and without holes from -1 on.
pub(crate) fn codes(text: &str) -> Result<String, String> {
    let mut constants = String::new();
    let mut table = String::new();
    let mut expected = -1;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [code, name, class] = words[..] else { return Err(format!("errors.txt: {line}")) };
        if code.parse() != Ok(expected) {
            return Err(format!("errors.txt: {line}: expected code {expected}"));
        }
        expected += 1;
        let _ = writeln!(constants, "/// `{name}`, {class}.\npub const {name}: Self = Self({code});");
        let _ = writeln!(table, "(\"{name}\", ErrorClass::{}),", variant(class)?);
    }
    Ok(format!(
        "impl ErrorCode {{\n{constants}}}\n\nconst ERRORS: [(&str, ErrorClass); {}] = [\n{table}];\n",
        expected + 1
    ))
}

fn variant(class: &str) -> Result<&'static str, String> {
    Ok(match class {
        "ok" => "Ok",
        "retriable" => "Retriable",
        "refresh" => "Refresh",
        "abortable" => "Abortable",
        "recoverable" => "Recoverable",
        "configuration" => "Configuration",
        "fatal" => "Fatal",
        _ => return Err(format!("errors.txt: unknown class {class}")),
    })
}
