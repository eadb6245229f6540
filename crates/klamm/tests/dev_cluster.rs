//! `klamm cluster dev`: one command, one cluster, and nothing left of it when it is asked to stop.

mod binary;

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use binary::{Run, command};

/// A running cluster; it is killed when dropped, and ends its nodes with it.
struct DevCluster {
    process: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl DevCluster {
    /// A cluster of one node.
    fn start(folder: &Path, base_port: u16) -> Self {
        Self::of(1, folder, base_port)
    }

    fn of(nodes: u16, folder: &Path, base_port: u16) -> Self {
        let (folder, port, nodes) = (folder.to_str().unwrap(), base_port.to_string(), nodes.to_string());
        let arguments = ["cluster", "dev", "--nodes", &nodes, "--data", folder, "--base-port", &port];
        let mut process = command(&arguments).stderr(Stdio::piped()).spawn().expect("the binary was built");
        let lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        Self { process, lines }
    }

    /// The next line that has this in it.
    fn line_with(&mut self, part: &str) -> String {
        let mut lines = self.lines.by_ref().map_while(Result::ok);
        lines.find(|line| line.contains(part)).unwrap_or_else(|| panic!("there is no line with {part}"))
    }

    fn stop(mut self) {
        interrupt(&self.process);
        let rest: Vec<String> = self.lines.by_ref().map_while(Result::ok).collect();
        assert!(self.process.wait().unwrap().success(), "{rest:?}");
    }
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn interrupt(process: &Child) {
    let sent = Command::new("kill").args(["-INT", &process.id().to_string()]).status();
    assert!(sent.expect("there is a kill command").success());
}

/// A port that is free, with one that is free where the controller will listen.
fn free_port() -> u16 {
    free_ports(1)
}

/// The first of so many ports in a row that are free, with as many where the controllers will listen.
fn free_ports(nodes: u16) -> u16 {
    let rows = std::iter::repeat_with(|| {
        let first = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        (first < 60_000 && (0..nodes).all(|n| is_free(first + n) && is_free(first + 100 + n)))
            .then_some(first)
    });
    rows.take(100).flatten().next().expect("some ports are free")
}

#[test]
fn a_folder_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut cluster = DevCluster::start(folder.path(), port);
    assert!(
        cluster.line_with("klamm: cluster of 1 node is ready on ").contains(&format!("127.0.0.1:{port}"))
    );
    let bootstrap = ["-b", &format!("127.0.0.1:{port}")];
    let created: Run =
        command(&[&["topic", "create", "kept"][..], &bootstrap].concat()).output().unwrap().into();
    assert_eq!((created.code, created.err.as_str()), (0, ""));
    cluster.stop();
    let mut cluster = DevCluster::start(folder.path(), port);
    cluster.line_with("klamm: cluster of 1 node is ready on ");
    let listed: Run = command(&[&["topic", "list"][..], &bootstrap].concat()).output().unwrap().into();
    assert!(listed.out.contains("kept"), "{}", listed.out);
    cluster.stop();
}

#[test]
fn nodes_do_not_outlive_it() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut cluster = DevCluster::start(folder.path(), port);
    cluster.line_with("klamm: cluster of 1 node is ready on ");
    cluster.process.kill().unwrap();
    cluster.process.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(Instant::now() < deadline, "the node still listens");
    }
}

#[test]
fn a_node_that_ends_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut cluster = DevCluster::start(folder.path(), port);
    cluster.line_with("node 1 | klamm: ");
    cluster.line_with("klamm: node 1 ended (exit status: 1); 0 of 1 go on");
    assert_eq!(cluster.process.wait().unwrap().code(), Some(1));
}

/// What a command of a client prints that has to succeed.
fn out(port: u16, arguments: &[&str]) -> String {
    let run: Run = client(port, arguments).output().unwrap().into();
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{arguments:?}");
    run.out
}

fn client(port: u16, arguments: &[&str]) -> Command {
    let mut client = command(arguments);
    client.env("KLAMM_BOOTSTRAP", format!("127.0.0.1:{port}"));
    client
}

/// Begins to move a topic of a few megabytes from node 1 to node 2, at a byte per second.
fn begin_slow_move(port: u16, topic: &str) -> Child {
    out(port, &["topic", "create", topic, "--replica-assignment", "1"]);
    let mut producer = client(port, &["produce", topic]).stdin(Stdio::piped()).spawn().unwrap();
    let records = format!("{}\n", "x".repeat(1_000)).repeat(4_000);
    producer.stdin.take().unwrap().write_all(records.as_bytes()).unwrap();
    assert!(producer.wait().unwrap().success());
    let arguments = ["partition", "reassign", "--topic", topic, "--to", "2", "--throttle", "1", "--execute"];
    let moving = client(port, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !out(port, &["partition", "reassign", "--status"]).contains(&format!("{topic}-0")) {
        assert!(Instant::now() < deadline, "it does not move");
    }
    moving
}

/// Whether a setting bounds replication on one of the brokers or the topic.
fn is_throttled(port: u16, topic: &str) -> bool {
    let of = [["--broker", "1"], ["--broker", "2"], ["--topic", topic]];
    let described = of.map(|[kind, name]| out(port, &["config", "describe", kind, name]));
    described.iter().any(|settings| settings.contains("replication.throttled"))
}

#[test]
fn a_throttle_does_not_outlive_its_move() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_ports(2);
    let mut cluster = DevCluster::of(2, folder.path(), port);
    cluster.line_with("klamm: cluster of 2 nodes is ready on ");
    let moving = begin_slow_move(port, "stopped");
    assert!(is_throttled(port, "stopped"));
    interrupt(&moving);
    let stopped: Run = moving.wait_with_output().unwrap().into();
    assert_eq!(stopped.code, 1, "{}", stopped.err);
    assert!(stopped.err.contains("stopped before all was moved"), "{}", stopped.err);
    assert!(!is_throttled(port, "stopped"));
    let mut killed = begin_slow_move(port, "killed");
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(is_throttled(port, "killed"));
    let cancelled = out(port, &["partition", "reassign", "--cancel", "--topic", "killed"]);
    assert_eq!(cancelled, "cancelled the move of killed-0\n");
    assert!(!is_throttled(port, "killed"));
    cluster.stop();
}
