//! Runs the built binary.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::io;
use std::process::{Command, Output, Stdio};

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it was not killed by a signal"),
            out: String::from_utf8(output.stdout).expect("klamm prints text here"),
            err: String::from_utf8(output.stderr).expect("messages are text"),
        }
    }
}

/// The binary with these arguments, and an environment that does not change what it does.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klamm"));
    command.args(arguments).env_remove("KLAMM_BOOTSTRAP").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs to the end.
pub(crate) fn klamm(arguments: &[&str]) -> Run {
    command(arguments).output().expect("the binary was built").into()
}

/// Runs with a standard output that nobody reads any more.
pub(crate) fn klamm_into_closed_pipe(arguments: &[&str]) -> Run {
    let (reader, writer) = io::pipe().expect("the system has a pipe");
    drop(reader);
    let child = command(arguments).stdout(writer).stderr(Stdio::piped()).spawn();
    child.and_then(|child| child.wait_with_output()).expect("the binary was built").into()
}
