//! Conformance: foreign clients and tools, unmodified, against a broker, with a scorecard.
//!
//! The proof that Klamm is what Kafka's users expect comes from software that others wrote for Apache Kafka. It is
//! fetched from its registries, run, and its output compared with what it must be. Every check is run
//! against Apache Kafka too (`--kafka-only`), which shows whether the check itself is right; `--beside-kafka` runs both
//! and shows them side by side. What Kafka does not pass is named in `docs/compatibility.md`.
//!
//! - `clients` has a file or folder for each client, with one function for each check.
//! - `peers` fetches and runs foreign software.
//! - `nodes` starts, stops and kills brokers.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, path};

use clap::Parser;
use serde_json::Value;

mod arguments;
mod check;
mod clients;
mod nodes;
mod peers;
mod program;
mod scorecard;
mod stage;
mod subject;
mod transcript;

use arguments::Arguments;
use check::Check;
use nodes::Software;
use peers::Peers;
use scorecard::Scorecard;
use subject::{Run, Subject};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = say(&format!("klamm-conformance: {error}\n"));
            ExitCode::from(2)
        }
    }
}

/// Whether nothing failed.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let all = clients::all();
    let checks: Vec<&Check> = all.iter().filter(|check| arguments.selects(check)).collect();
    if checks.is_empty() {
        return Err("no check has such a name; --list shows them all".into());
    }
    if arguments.list {
        checks.iter().try_for_each(|check| say(&format!("{}\n", check.full_name())))?;
        return Ok(true);
    }
    let earlier = arguments.rest_from.iter().map(|path| read_earlier(path)).collect::<Result<Vec<_>, _>>()?;
    let peers = Peers::new();
    let transcripts = path::absolute(&arguments.transcripts)?;
    let run = Run { peers: &peers, is_full: arguments.full, transcripts: &transcripts };
    let mut card = Scorecard::new(&checks);
    for subject in subjects(arguments)? {
        card.add(subject.name(), subject.run(&checks, &run, &say)?);
    }
    let card = card.with_rest_from(&all, &earlier);
    report(arguments, &card)?;
    Ok(card.is_clean())
}

fn read_earlier(path: &Path) -> Result<Value, Box<dyn Error>> {
    let said = |error: &dyn Error| format!("{}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| said(&error))?;
    Ok(serde_json::from_str(&text).map_err(|error| said(&error))?)
}

fn report(arguments: &Arguments, card: &Scorecard) -> Result<(), Box<dyn Error>> {
    say(&format!("\n{}", scorecard::table(card)))?;
    if let Some(path) = &arguments.json {
        fs::write(path, format!("{:#}\n", scorecard::json(card)))?;
    }
    if let Some(path) = &arguments.write_compatibility {
        fs::write(path, scorecard::compatibility(card))?;
    }
    Ok(())
}

fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// The brokers to test, the one that counts first.
fn subjects(arguments: &Arguments) -> Result<Vec<Subject>, Box<dyn Error>> {
    let mut subjects = match (&arguments.bootstrap, &arguments.klamm) {
        (Some(address), _) => vec![Subject::Address(address.clone())],
        (None, Some(binary)) => vec![Subject::Software(Software::Klamm(path::absolute(binary)?))],
        (None, None) if arguments.kafka_only => Vec::new(),
        (None, None) => vec![Subject::Software(Software::Klamm(build_klamm()?))],
    };
    if arguments.beside_kafka || arguments.kafka_only {
        subjects.push(Subject::Software(Software::Kafka));
    }
    Ok(subjects)
}

/// The binary, built in the profile this program was built in, beside which it then lies.
fn build_klamm() -> Result<PathBuf, Box<dyn Error>> {
    let this = env::current_exe()?;
    let folder = this.parent().ok_or("this program lies in no folder")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "-p", "klamm", "--bin", "klamm"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    if !build.status()?.success() {
        return Err("klamm could not be built".into());
    }
    Ok(folder.join("klamm"))
}
