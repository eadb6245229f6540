//! confluent-kafka, which brings librdkafka with it, in a virtual environment of Python's.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::fetch_step;

const PACKAGE: &str = "confluent-kafka==2.16.1";

/// The environment's Python, made first if it is not there.
pub(super) fn fetch(peers: &Path) -> Result<PathBuf, String> {
    let folder = peers.join("python").join(PACKAGE.replace("==", "-"));
    let python = folder.join("bin/python");
    if !imports(&python) {
        fetch_step(Command::new("python3").args(["-m", "venv"]).arg(&folder), "python3 with venv is needed")?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]);
        fetch_step(&mut pip, "confluent-kafka could not be fetched with pip")?;
    }
    Ok(python)
}

fn imports(python: &Path) -> bool {
    let result = Command::new(python).args(["-c", "import confluent_kafka"]).output();
    result.is_ok_and(|output| output.status.success())
}
