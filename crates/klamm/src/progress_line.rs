//! One line on standard error that says how far long work is, for a person who watches: only where standard error
//! is a terminal, and nothing that the work prints or reads goes through the same terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(250);

/// The line; it goes away when it is dropped.
pub(crate) struct ProgressLine {
    is_shown: bool,
    has_text: bool,
    next: Instant,
}

impl ProgressLine {
    /// `is_quiet_terminal` says whether the terminal is free for it, as far as the caller knows.
    pub(crate) fn new(is_quiet_terminal: bool) -> Self {
        let is_shown = is_quiet_terminal && io::stderr().is_terminal();
        Self { is_shown, has_text: false, next: Instant::now() + INTERVAL }
    }

    /// Whether there is anybody to show it to.
    pub(crate) fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// Shows the text, unless one was shown a moment ago.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        if self.is_shown && Instant::now() >= self.next {
            self.next = Instant::now() + INTERVAL;
            self.has_text = true;
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(io::stderr(), "\r\x1b[K{}", text());
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.has_text {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
