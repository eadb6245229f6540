//! Klamm: the release build of this workspace, or another binary if one is named.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{CLUSTER_ID, run};
use crate::failure::{Failure, Result};

/// The broker's command line.
pub(super) fn command(binary: &Path, settings: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("start").arg("--config").arg(settings);
    command
}

/// Makes the folder that the settings name ready for a cluster.
pub(super) fn format(binary: &Path, settings: &Path) -> Result<()> {
    let mut command = Command::new(binary);
    command.args(["format", "--cluster-id", CLUSTER_ID, "--config"]).arg(settings);
    run(&mut command, "formatting Klamm's folder")
}

/// The broker's binary beside this one.
pub(crate) fn beside_this_binary() -> Result<PathBuf> {
    let this = env::current_exe().map_err(Failure::doing("the path of this program"))?;
    Ok(this.with_file_name("klamm"))
}

/// Builds the broker into the folder of this binary, so that what is measured is what the sources say.
pub(crate) fn build() -> Result<()> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "-p", "klamm"]);
    match cargo.status().map_err(Failure::doing("cargo"))?.success() {
        true => Ok(()),
        false => Err(Failure::Other("the broker does not build".to_owned())),
    }
}
