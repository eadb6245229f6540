//! Apache Kafka as jars, from Maven's registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::fetch_step;

/// A set of jars with all that they depend on.
pub(super) struct Jars {
    /// Also the folder's name, with the version.
    name: &'static str,
    version: &'static str,
    artifacts: &'static [&'static str],
}

const KAFKA: &str = "org.apache.kafka";
const LOG4J: &str = "org.apache.logging.log4j";
const LOG4J_VERSION: &str = "2.24.3";
const LOG4J_ARTIFACTS: [&str; 2] = ["log4j-core", "log4j-slf4j-impl"];

/// Warnings to standard error, nothing else.
const LOGGING: &str = r#"<Configuration status="ERROR"><Appenders><Console name="err" target="SYSTEM_ERR"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders><Loggers><Root level="${sys:klamm.peer.level:-WARN}"><AppenderRef ref="err"/></Root></Loggers></Configuration>
"#;
const LOGGING_FILE: &str = "quiet.xml";

impl Jars {
    pub(super) const BROKER: Self = Self { name: "broker", version: "4.4.0", artifacts: &["kafka_2.13"] };
    /// The newest release whose tools are all in the registry.
    pub(super) const TOOLS: Self = Self {
        name: "tools",
        version: "4.3.1",
        artifacts: &[
            "kafka_2.13",
            "kafka-tools",
            "kafka-streams",
            "connect-runtime",
            "connect-file",
            "connect-mirror",
        ],
    };

    fn pom(&self) -> String {
        let kafka = self.artifacts.iter().map(|artifact| dependency(KAFKA, artifact, self.version));
        let log4j = LOG4J_ARTIFACTS.iter().map(|artifact| dependency(LOG4J, artifact, LOG4J_VERSION));
        let dependencies: Vec<String> = kafka.chain(log4j).collect();
        include_str!("pom.xml").replace("{dependencies}", &dependencies.join("\n"))
    }
}

fn dependency(group: &str, artifact: &str, version: &str) -> String {
    format!(
        "    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
    )
}

/// The folder of these jars, fetched first if it is not there. A folder counts once its mark `.done` stands in it.
pub(super) fn fetch(peers: &Path, jars: &Jars) -> Result<PathBuf, String> {
    fetch_step(Command::new("java").arg("-version"), "java is needed")?;
    let kafka = peers.join("kafka");
    let folder = kafka.join(format!("{}-{}", jars.name, jars.version));
    let said = |error: std::io::Error| format!("{}: {error}", kafka.display());
    fs::create_dir_all(&kafka).map_err(said)?;
    fs::write(kafka.join(LOGGING_FILE), LOGGING).map_err(said)?;
    if !folder.join(".done").exists() {
        let work = tempfile::tempdir().map_err(said)?;
        let pom = work.path().join("pom.xml");
        fs::write(&pom, jars.pom()).map_err(said)?;
        let mut maven = Command::new("mvn");
        maven.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
        maven.arg(format!("-DoutputDirectory={}", folder.display()));
        fetch_step(&mut maven, "Apache Kafka's jars could not be fetched with mvn")?;
        fs::write(folder.join(".done"), "").map_err(said)?;
    }
    Ok(folder)
}

/// A JVM for a class of the jars in this folder.
pub(super) fn java(folder: &Path, class: &str) -> Command {
    let mut command = Command::new("java");
    let logging = folder.with_file_name(LOGGING_FILE);
    command.arg("-Xshare:auto").arg("-XX:TieredStopAtLevel=4");
    command.arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
    command.arg("-cp").arg(folder.join("*")).arg(class);
    command
}
