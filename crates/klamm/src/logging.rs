//! The log: to standard error, warnings only unless asked for more.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// `RUST_LOG` decides where it is set, otherwise the number of `--verbose`.
pub(crate) fn start(verbose: u8) {
    tracing_subscriber::fmt()
        .with_env_filter(filter(verbose))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(verbose > 1)
        .init();
}

fn filter(verbose: u8) -> EnvFilter {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level))
}
