//! From schema files to Rust source.
//!
//! Reading (`parse` into `schema`) knows nothing of Rust; writing (`emit_*`) knows nothing of the notation.
//! One schema file becomes one source file; what spans files (API keys, record enums, the list of all
//! messages) becomes one file each.

mod emit_codec;
mod emit_errors;
mod emit_keys;
mod emit_records;
mod emit_struct;
mod expr;
mod names;
mod parse;
mod schema;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use schema::Message;

/// Generates everything in `schema_dir` into `out_dir`.
pub(crate) fn run(schema_dir: &Path, out_dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut sources = Vec::new();
    for path in schema_files(schema_dir)? {
        let text = fs::read_to_string(&path)?;
        let messages = parse::messages(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        let stem = path.file_stem().and_then(|s| s.to_str()).ok_or("a schema file without a name")?;
        sources.push((stem.to_owned(), messages));
    }
    for (stem, messages) in &sources {
        let modules: String = messages.iter().map(|m| emit_struct::module(m, messages)).collect();
        fs::write(out_dir.join(format!("{stem}.rs")), modules)?;
    }
    let all: Vec<&Message> = sources.iter().flat_map(|(_, messages)| messages).collect();
    fs::write(out_dir.join("messages.rs"), emit_struct::index(&sources))?;
    fs::write(out_dir.join("api_keys.rs"), emit_keys::api_keys(&all)?)?;
    for (stem, messages) in &sources {
        if let Some(enums) = emit_records::enums(stem, messages) {
            fs::write(out_dir.join(format!("{stem}-enums.rs")), enums)?;
        }
    }
    let errors = fs::read_to_string(schema_dir.join("errors.txt"))?;
    fs::write(out_dir.join("error_codes.rs"), emit_errors::codes(&errors)?)?;
    Ok(())
}

/// Every message file, in a fixed order; `errors.txt` has a notation of its own.
fn schema_files(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut paths = Vec::new();
    for folder in [dir.join("rpc"), dir.to_owned()] {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let is_text = path.extension().is_some_and(|e| e == "txt");
            if is_text && path.file_name().is_some_and(|n| n != "errors.txt") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    Ok(paths)
}
