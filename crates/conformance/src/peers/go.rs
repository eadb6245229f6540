//! franz-go, from Go's module proxy: its own tests, built once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::fetch_step;

const MODULE: &str = "github.com/twmb/franz-go";
const VERSION: &str = "v1.22.2";

/// The folder of the package `kgo`, with its tests built as `kgo.test`.
pub(super) fn fetch(peers: &Path) -> Result<PathBuf, String> {
    let folder = peers.join("franz-go").join(VERSION);
    let package = folder.join("pkg/kgo");
    if !package.join("kgo.test").exists() {
        let said = |error: std::io::Error| format!("{}: {error}", folder.display());
        // Modules are read-only, and tests build only from a folder that can be written to.
        fs::create_dir_all(&folder).map_err(said)?;
        let source = download()?;
        let mut copy = Command::new("cp");
        copy.args(["-r", "--no-preserve=mode"]).arg(source.join(".")).arg(&folder);
        fetch_step(&mut copy, "franz-go could not be copied")?;
        let mut build = Command::new("go");
        build.args(["test", "-c", "-o", "kgo.test", "."]).current_dir(&package);
        fetch_step(&mut build, "franz-go's tests could not be built")?;
    }
    Ok(package)
}

/// Where Go keeps the module.
fn download() -> Result<PathBuf, String> {
    let mut command = Command::new("go");
    command.args(["mod", "download", "-json", &format!("{MODULE}@{VERSION}")]);
    let output = command.output().map_err(|error| format!("go is needed: {error}"))?;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match answer["Dir"].as_str() {
        Some(folder) => Ok(PathBuf::from(folder)),
        None => Err(format!("franz-go could not be fetched with go: {}", answer["Error"])),
    }
}
