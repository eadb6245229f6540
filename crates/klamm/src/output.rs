//! Standard output, for people and for pipes.
//!
//! On a terminal every line appears as soon as it is complete; into a pipe or a file bytes travel in large
//! writes. Callers that have nothing more to write for the moment call [`Output::flush`], so that a slow
//! stream is never held back by the buffer.

use std::io::{self, BufWriter, IsTerminal, LineWriter, Write};

use serde_json::Value;

use crate::failure::Failure;

const PIPE_BUFFER_BYTES: usize = 256 * 1024;

/// Buffered standard output whose errors are already [`Failure`]s.
pub(crate) struct Output {
    writer: Box<dyn Write>,
}

impl Output {
    pub(crate) fn stdout() -> Self {
        let stdout = io::stdout();
        // Both go around the line buffer inside `Stdout` where they can: `LineWriter` hands over whole lines,
        // `BufWriter` blocks of its own size.
        let writer: Box<dyn Write> = if stdout.is_terminal() {
            Box::new(LineWriter::new(stdout))
        } else {
            Box::new(BufWriter::with_capacity(PIPE_BUFFER_BYTES, stdout))
        };
        Self { writer }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes).map_err(Failure::from_output)
    }

    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> Result<(), Failure> {
        self.bytes(line.as_ref().as_bytes())?;
        self.bytes(b"\n")
    }

    /// A JSON document, indented, as the `--json` options print it.
    pub(crate) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        self.line(format!("{value:#}"))
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(Failure::from_output)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
