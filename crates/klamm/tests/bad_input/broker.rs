//! A broker in a process of its own, and its folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use crate::binary::{Run, command};

/// A running broker, killed when dropped.
pub(crate) struct Broker {
    process: Child,
    pub(crate) address: String,
    said_before_ready: String,
    says: Option<JoinHandle<String>>,
}

impl Broker {
    /// On a free port.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_at(data, "127.0.0.1:0", &[])
    }

    /// Starts a broker and waits for the line that says that it is ready.
    pub(crate) fn start_at(data: &Path, listen: &str, settings: &[&str]) -> Self {
        let mut starting = starting(data, listen);
        for setting in settings {
            starting.args(["--set", setting]);
        }
        let mut process = starting.stderr(Stdio::piped()).spawn().expect("the binary was built");
        let mut stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        let mut said = String::new();
        while !said.contains(" is ready on ") {
            let read = stderr.read_line(&mut said).expect("it says text");
            assert!(read > 0, "it did not become ready: {said}");
        }
        let address = said.split("PLAINTEXT://").nth(1).expect("the line names the listener");
        let address = address.split([',', ' ']).next().expect("there is an address").to_owned();
        let says = std::thread::spawn(move || {
            let mut rest = String::new();
            stderr.read_to_string(&mut rest).expect("it says text");
            rest
        });
        Self { process, address, said_before_ready: said, says: Some(says) }
    }

    pub(crate) fn klamm(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut client = command(arguments)
            .env("KLAMM_BOOTSTRAP", &self.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let mut stdin = client.stdin.take().expect("it is piped");
        let input = input.to_owned();
        let feeding = std::thread::spawn(move || stdin.write_all(&input));
        let run = client.wait_with_output().expect("the client ends").into();
        // A client that failed has not read all of it.
        drop(feeding.join().expect("the thread does not panic"));
        run
    }

    /// What a command prints that has to succeed.
    pub(crate) fn out(&self, arguments: &[&str], input: &[u8]) -> String {
        let Run { code, out, err } = self.klamm(arguments, input);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        out
    }

    /// All records of a topic, a line for each.
    pub(crate) fn consume(&self, topic: &str) -> Vec<String> {
        let out =
            self.out(&["consume", topic, "--from-beginning", "--until-end", "--format", "%o %s\\n"], b"");
        out.lines().map(str::to_owned).collect()
    }

    /// What it said on the way to being ready.
    pub(crate) fn warnings_of_start(&self) -> Vec<&str> {
        self.said_before_ready.lines().filter(|line| !line.contains(" is ready on ")).collect()
    }

    /// Asks it to stop, and returns what it said since it was ready.
    pub(crate) fn stop(mut self) -> String {
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        assert!(asked.expect("there is a kill command").success());
        let said = self.says.take().expect("it stops once").join().expect("the thread does not panic");
        let status = self.process.wait().expect("it ends");
        assert!(status.success(), "{status}: {said}");
        said
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address for a broker that is started there again and again. Its port and the next, the controller's, are below those that the
/// system gives outgoing connections: nobody takes them by chance while the broker is down.
pub(crate) fn lasting_address() -> String {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let port = (0..5_000).find_map(|_| {
        let nth = (std::process::id() + ASKED.fetch_add(1, Ordering::Relaxed)) % 5_000;
        let port = 20_000 + 2 * nth as u16;
        (is_free(port) && is_free(port + 1)).then_some(port)
    });
    format!("127.0.0.1:{}", port.expect("some are free"))
}

fn starting(data: &Path, listen: &str) -> Command {
    let mut starting = command(&["start", "--listen", listen, "--data"]);
    starting.arg(data).args(["--set", "offsets.topic.num.partitions=1"]);
    starting
}

/// A start that must fail, with one line that holds `parts`; nothing in `data` is changed by it.
pub(crate) fn assert_refused(data: &Path, arguments: &[&str], parts: &[&str]) {
    let before = contents(data);
    let mut starting = match arguments.contains(&"--config") {
        true => command(&["start"]),
        false if arguments.contains(&"--data") => command(&["start", "--listen", "127.0.0.1:0"]),
        false => starting(data, "127.0.0.1:0"),
    };
    let Run { code, err, .. } = ended(starting.args(arguments)).into();
    assert_eq!((code, err.lines().count()), (1, 1), "{arguments:?}: {err}");
    assert!(err.starts_with("klamm: "), "{err}");
    parts.iter().for_each(|part| assert!(err.contains(part), "{part} is not in: {err}"));
    assert!(contents(data) == before, "the folder was changed: {err}");
}

/// Runs a start to its end, and puts an end to it where it becomes ready against expectation.
fn ended(starting: &mut Command) -> Output {
    let mut process =
        starting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary was built");
    let mut stderr = BufReader::new(process.stderr.take().expect("it is piped"));
    let mut said = String::new();
    while stderr.read_line(&mut said).expect("it says text") > 0 {
        if said.contains(" is ready on ") {
            process.kill().expect("it runs");
            process.wait().expect("it ends");
            panic!("it started: {said}");
        }
    }
    let output = process.wait_with_output().expect("it ends");
    Output { stderr: said.into_bytes(), ..output }
}

/// All files below a folder; none where there is no folder.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    found
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for (path, bytes) in contents(from) {
        let copied = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(copied.parent().unwrap()).unwrap();
        fs::write(copied, bytes).unwrap();
    }
}

/// Changes one byte; `from_end` counts from the last byte on, which is 1.
pub(crate) fn flip(path: &Path, from_end: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() - from_end;
    bytes[at] ^= 0xff;
    fs::write(path, bytes).unwrap();
}
