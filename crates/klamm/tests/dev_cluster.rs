//! `klamm cluster dev`: one command, one cluster, and nothing left of it when it is asked to stop.

mod binary;

use std::io::{BufRead, BufReader, Lines};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use binary::{Run, command};

/// A running cluster of one node; it is killed when dropped, and ends its node with it.
struct DevCluster {
    process: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl DevCluster {
    fn start(folder: &Path, base_port: u16) -> Self {
        let (folder, port) = (folder.to_str().unwrap(), base_port.to_string());
        let arguments = ["cluster", "dev", "--nodes", "1", "--data", folder, "--base-port", &port];
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
        let sent = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        assert!(sent.expect("there is a kill command").success());
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

/// A port that is free, with one that is free where the controller will listen.
fn free_port() -> u16 {
    let pairs = std::iter::repeat_with(|| {
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        TcpListener::bind(("127.0.0.1", port.checked_add(100)?)).ok().map(|_| port)
    });
    pairs.take(100).flatten().next().expect("some ports are free")
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
