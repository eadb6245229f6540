//! Apache Kafka, fetched as jars from Maven's registry into `$KLAMM_PEERS` (`~/.cache/klamm-peers`) on first use.
//! Needs Java 17 and `mvn`. It runs with a heap of 1 GB and the collector that its own start script chooses.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::{CLUSTER_ID, run};
use crate::failure::{Failure, Result};

/// The release that is compared with.
pub(crate) const VERSION: &str = "4.4.0";
const POM: &str = include_str!("kafka.pom.xml");
const LOGGING_FILE: &str = "quiet.xml";
/// Warnings to standard error, nothing else.
const LOGGING: &str = r#"<Configuration status="ERROR"><Appenders><Console name="err" target="SYSTEM_ERR"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders><Loggers><Root level="WARN"><AppenderRef ref="err"/></Root></Loggers></Configuration>
"#;
const JVM: [&str; 6] = [
    "-Xms1g",
    "-Xmx1g",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
];

/// The broker's command line.
pub(super) fn command(settings: &Path) -> Result<Command> {
    let mut command = java()?;
    command.arg("kafka.Kafka").arg(settings);
    Ok(command)
}

/// Formats the folder that the settings name.
pub(super) fn format(settings: &Path) -> Result<()> {
    let mut command = java()?;
    command.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(settings);
    run(&mut command, "formatting Kafka's folder")
}

fn java() -> Result<Command> {
    let jars = jars()?;
    let mut command = Command::new("java");
    command.args(JVM);
    command.arg(format!("-Dlog4j2.configurationFile={}", jars.with_file_name(LOGGING_FILE).display()));
    command.arg("-cp").arg(jars.join("*"));
    Ok(command)
}

/// The folder of the jars, fetched first if need be. It counts once its mark `.done` stands in it.
fn jars() -> Result<PathBuf> {
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache/klamm-peers");
    let kafka = env::var_os("KLAMM_PEERS").map_or_else(home, PathBuf::from).join("kafka");
    let jars = kafka.join(format!("broker-{VERSION}"));
    if !jars.join(".done").exists() {
        fetch(&jars)?;
    }
    fs::write(kafka.join(LOGGING_FILE), LOGGING).map_err(Failure::doing("the logging settings"))?;
    Ok(jars)
}

fn fetch(jars: &Path) -> Result<()> {
    fs::create_dir_all(jars).map_err(Failure::doing(jars.display().to_string()))?;
    let pom = tempfile::Builder::new().suffix(".xml").tempfile().map_err(Failure::doing("a file"))?;
    fs::write(pom.path(), POM.replace("{version}", VERSION)).map_err(Failure::doing("a file"))?;
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(pom.path()).arg("dependency:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", jars.display()));
    run(&mut maven, "fetching Kafka's jars with mvn")?;
    fs::write(jars.join(".done"), "").map_err(Failure::doing("the jars' mark"))
}
