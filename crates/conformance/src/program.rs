//! Running a program to its end: its input, its output, its exit status, within a time limit.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::check::{Fault, Verdict};

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What a program left.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) end: End,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Itself, if the program exited with 0.
    pub(crate) fn successful(self, command: &str) -> Verdict<Self> {
        if self.end == End::Exit(0) {
            return Ok(self);
        }
        let said = [self.stdout.trim(), self.stderr.trim()].join("\n");
        Err(Fault::failed(format!("{command} to exit with 0"), format!("{:?}: {}", self.end, said.trim())))
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Exit(i32),
    Signal,
    /// It was killed after its time was up.
    TimedOut(Duration),
}

/// Runs it with this input. A program that is not done within the limit is killed.
pub(crate) fn run(command: &mut Command, input: &[u8], limit: Duration) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let read = Reading::begin(&mut child);
    let stdin = child.stdin.take();
    let input = input.to_vec();
    // A program may end without reading its input; that is its affair.
    let writer = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let end = wait(&mut child, limit)?;
    let _ = writer.join();
    Ok(read.output(end))
}

/// The same without input, and with something to do again and again until the program ends. Its failure ends the program too.
pub(crate) fn run_beside(
    command: &mut Command,
    limit: Duration,
    mut beside: impl FnMut() -> Verdict,
) -> Verdict<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = Background::new(command)?;
    let read = Reading::begin(&mut program.child);
    let deadline = Instant::now() + limit;
    while program.child.try_wait()?.is_none() && Instant::now() < deadline {
        beside()?;
        thread::sleep(LOOK);
    }
    let end = wait(&mut program.child, deadline.saturating_duration_since(Instant::now()))?;
    Ok(read.output(end))
}

/// What a program writes, read beside it so that it never waits for us.
struct Reading {
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
}

impl Reading {
    fn begin(child: &mut Child) -> Self {
        Self { stdout: read_aside(child.stdout.take()), stderr: read_aside(child.stderr.take()) }
    }

    /// All of it, once the program has ended so.
    fn output(self, end: End) -> Output {
        let [stdout, stderr] = [self.stdout, self.stderr]
            .map(|reader| String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned());
        Output { end, stdout, stderr }
    }
}

/// Waits for a process that runs already; kills it when the limit is over.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> io::Result<End> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code().map_or(End::Signal, End::Exit));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(End::TimedOut(limit));
        }
        thread::sleep(LOOK);
    }
}

fn read_aside(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before an error is still worth showing.
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// A program beside the check, killed when dropped.
pub(crate) struct Background {
    pub(crate) child: Child,
}

impl Background {
    pub(crate) fn new(command: &mut Command) -> io::Result<Self> {
        Ok(Self { child: command.spawn()? })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
