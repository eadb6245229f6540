//! One JVM that runs Kafka's tools one after another.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::jars;
use crate::program::{End, Output};

const SOURCE: &str = include_str!("ToolServer.java");
/// Longer than any tool takes on a busy machine.
const TOOL_TIME_MAX: Duration = Duration::from_secs(300);
/// More than any tool prints.
const TEXT_MAX: u32 = 1 << 30;

/// The JVM, and the two ends of talking to it.
pub(super) struct ToolServer {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<io::Result<Output>>,
    folder: TempDir,
}

impl ToolServer {
    pub(super) fn start(jars: &Path) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let source = folder.path().join("ToolServer.java");
        fs::write(&source, SOURCE)?;
        let mut command = jars::java(jars, &source.to_string_lossy());
        command.current_dir(folder.path());
        command.stderr(fs::File::create(folder.path().join("stderr"))?);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let broken = || io::Error::other("a pipe to the JVM is missing");
        let requests = child.stdin.take().ok_or_else(broken)?;
        let mut output = child.stdout.take().ok_or_else(broken)?;
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            loop {
                let answer = read_answer(&mut output);
                let is_last = answer.is_err();
                if sender.send(answer).is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Self { child, requests, answers, folder })
    }

    /// `None` if the tool did not end in time; this server is of no use any more then.
    pub(super) fn run(&mut self, class: &str, args: &[String], input: &[u8]) -> io::Result<Option<Output>> {
        let mut request = Vec::new();
        push_length(&mut request, args.len() + 1);
        for text in std::iter::once(class).chain(args.iter().map(String::as_str)) {
            push_text(&mut request, text.as_bytes());
        }
        push_text(&mut request, input);
        self.requests.write_all(&request)?;
        self.requests.flush()?;
        match self.answers.recv_timeout(TOOL_TIME_MAX) {
            Ok(answer) => answer.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other(self.last_words())),
        }
    }

    /// Why the JVM is not answering.
    pub(super) fn last_words(&self) -> String {
        let said = fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
        format!("no answer within {} s; the JVM said: {said:?}", TOOL_TIME_MAX.as_secs())
    }
}

impl Drop for ToolServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    let length = i32::try_from(length).expect("a request to a tool is small");
    bytes.extend_from_slice(&length.to_be_bytes());
}

fn push_text(bytes: &mut Vec<u8>, text: &[u8]) {
    push_length(bytes, text.len());
    bytes.extend_from_slice(text);
}

fn read_answer(stream: &mut impl Read) -> io::Result<Output> {
    let status = i32::from_be_bytes(read_four(stream)?);
    let stdout = read_text(stream)?;
    let stderr = read_text(stream)?;
    Ok(Output { end: End::Exit(status), stdout, stderr })
}

fn read_four(stream: &mut impl Read) -> io::Result<[u8; 4]> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_text(stream: &mut impl Read) -> io::Result<String> {
    let length = u32::from_be_bytes(read_four(stream)?);
    if length > TEXT_MAX {
        return Err(io::Error::other(format!("a text of {length} bytes from the JVM")));
    }
    let mut bytes = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
