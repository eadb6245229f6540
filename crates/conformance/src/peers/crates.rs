//! Crates with the tests that their authors wrote, from Rust's registry: copied to where they can be built, and built once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::fetch_step;

/// A crate of a fixed version.
pub(crate) struct Crate {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Dependencies that have to be newer than those locked, to build with the compilers of today.
    newer: &'static [(&'static str, &'static str)],
}

impl Crate {
    /// It brings librdkafka, which is built from source.
    pub(crate) const RDKAFKA: Self = Self { name: "rdkafka", version: "0.39.0", newer: &[] };
    pub(crate) const RSKAFKA: Self = Self { name: "rskafka", version: "0.6.0", newer: &[("rsasl", "2.3.1")] };
}

/// The file that names the built tests, a path on each line.
pub(crate) const EXECUTABLES: &str = "test-executables";

/// A package that depends on nothing but the crate, for cargo to fetch it.
const MANIFEST: &str =
    "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n[dependencies]\n";

/// The crate's folder, its tests built.
pub(super) fn fetch(peers: &Path, of: &Crate) -> Result<PathBuf, String> {
    let folder = peers.join("crates").join(format!("{}-{}", of.name, of.version));
    if !folder.join(EXECUTABLES).exists() {
        copy(&source(of)?, &folder)?;
        for (name, version) in of.newer {
            let what = format!("{name} could not be brought to {version}");
            fetch_step(cargo(&folder).args(["update", "-p", name, "--precise", version]), &what)?;
        }
        let said = |error: io::Error| format!("{}: {error}", folder.display());
        fs::write(folder.join(EXECUTABLES), build(&folder)?.join("\n")).map_err(said)?;
    }
    Ok(folder)
}

/// Where cargo keeps the crate, read-only for all.
fn source(of: &Crate) -> Result<PathBuf, String> {
    let said = |error: io::Error| format!("{}: {error}", of.name);
    let work = tempfile::tempdir().map_err(said)?;
    let manifest = format!("{MANIFEST}{} = \"={}\"\n", of.name, of.version);
    fs::write(work.path().join("Cargo.toml"), manifest).map_err(said)?;
    fs::create_dir(work.path().join("src")).map_err(said)?;
    fs::write(work.path().join("src/lib.rs"), "").map_err(said)?;
    let mut fetch = cargo(work.path());
    fetch_step(fetch.arg("fetch"), &format!("{} could not be fetched with cargo", of.name))?;
    let metadata = cargo(work.path()).args(["metadata", "--format-version=1"]).output().map_err(said)?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap_or_default();
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let package = packages.find(|package| package["name"] == of.name);
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|path| Path::new(path).parent());
    folder.map(Path::to_owned).ok_or_else(|| format!("cargo does not say where {} is", of.name))
}

fn copy(source: &Path, folder: &Path) -> Result<(), String> {
    let said = |error: io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(said)?;
    let mut copy = Command::new("cp");
    copy.args(["-r", "--no-preserve=mode"]).arg(source.join(".")).arg(folder);
    fetch_step(&mut copy, "the crate could not be copied")?;
    // The toolchain that is here is good enough, and no workspace above is the crate's.
    let _ = fs::remove_file(folder.join("rust-toolchain.toml"));
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(said)?;
    if text.contains("[workspace]") {
        return Ok(());
    }
    fs::write(&manifest, format!("{text}\n[workspace]\n")).map_err(said)
}

/// Builds the integration tests with the versions that are locked; the paths of what was built.
fn build(folder: &Path) -> Result<Vec<String>, String> {
    let mut build = cargo(folder);
    build.args(["test", "--no-run", "--locked", "--test", "*", "--message-format=json"]);
    let output = build.output().map_err(|error| format!("cargo is needed: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| line.contains("error")).unwrap_or("it said nothing");
        return Err(format!("the tests in {} could not be built: {last}", folder.display()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages.filter_map(|message| Some(message["executable"].as_str()?.to_owned())).collect())
}

/// Cargo as the user has it, not as it runs this program.
fn cargo(folder: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    cargo
}
