//! Starts that cannot succeed.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::broker::{Broker, assert_refused, contents};

#[test]
fn a_taken_port_is_named_and_no_folder_is_made() {
    let temporary = tempfile::tempdir().unwrap();
    let data = temporary.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let both =
        |broker: &str, controller: &str| format!("listeners=PLAINTEXT://{broker},CONTROLLER://{controller}");
    let free = "127.0.0.1:0";
    for (listeners, name) in [(both(&address, free), "PLAINTEXT"), (both(free, &address), "CONTROLLER")] {
        let settings = temporary.path().join("server.properties");
        fs::write(&settings, listeners).unwrap();
        let arguments = ["--config", settings.to_str().unwrap(), "--data", data.to_str().unwrap()];
        assert_refused(&data, &arguments, &[name, &address, "Address already in use"]);
        assert!(!data.exists());
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    // Nobody may make files in /sys, whoever runs this.
    for path in [&file, &file.join("below"), Path::new("/sys"), Path::new("/sys/klamm")] {
        assert_refused(temporary.path(), &["--data", path.to_str().unwrap()], &[path.to_str().unwrap()]);
    }
}

#[test]
fn a_second_process_on_the_folder_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    broker.out(&["produce", "t"], b"kept\n");
    assert_refused(data.path(), &[], &[data.path().to_str().unwrap(), "in use by another process"]);
    assert_eq!(broker.consume("t"), ["0 kept"]);
}

#[test]
fn the_folder_of_another_node_is_refused() {
    let data = tempfile::tempdir().unwrap();
    Broker::start(data.path()).stop();
    let folder = data.path().to_str().unwrap();
    assert_refused(data.path(), &["--set", "node.id=7"], &[folder, "belongs to node 1", "node.id is 7"]);
}

#[test]
fn a_settings_file_is_refused_with_file_and_line() {
    let temporary = tempfile::tempdir().unwrap();
    let (settings, data) = (temporary.path().join("server.properties"), temporary.path().join("data"));
    let path = settings.to_str().unwrap();
    let table: [(&str, &[&str]); 7] = [
        ("num.partitons=3\n", &[":1: ", "there is no setting num.partitons", "did you mean num.partitions?"]),
        ("\n# comment\nnum.partitions=many\n", &[":3: ", "num.partitions", "many"]),
        ("num.partitions=-1\n", &[":1: ", "num.partitions", "at least 1"]),
        ("log.retention.hours=1\n\nlog.cleanup.policy=burn\n", &[":3: ", "log.cleanup.policy", "burn"]),
        ("a\\u12zz=3\n", &["line 1", "\\u"]),
        ("listeners=PLAINTEXT://nowhere\n", &["listeners", "PLAINTEXT://nowhere"]),
        ("process.roles=broker,janitor\n", &["process.roles", "janitor"]),
    ];
    for (text, parts) in table {
        fs::write(&settings, text).unwrap();
        assert_refused(&data, &["--config", path, "--data", data.to_str().unwrap()], parts);
        assert!(contents(&data).is_empty(), "{text}");
    }
    assert_refused(&data, &["--config", "/nowhere/server.properties"], &["/nowhere/server.properties"]);
}

/// Each node's start would begin a cluster of its own.
#[test]
fn a_node_of_a_cluster_of_several_is_not_formatted_by_its_start() {
    let temporary = tempfile::tempdir().unwrap();
    let (settings, data) = (temporary.path().join("server.properties"), temporary.path().join("data"));
    let path = settings.to_str().unwrap();
    let cases = [
        "process.roles=broker\nnode.id=1\nlisteners=PLAINTEXT://127.0.0.1:0\n\
         controller.listener.names=CONTROLLER\ncontroller.quorum.bootstrap.servers=127.0.0.1:1\n",
        "process.roles=broker,controller\nnode.id=1\nlisteners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0\n\
         controller.listener.names=CONTROLLER\ncontroller.quorum.voters=1@127.0.0.1:1,2@127.0.0.1:2\n",
    ];
    // All that the start may leave behind.
    fs::create_dir(&data).unwrap();
    fs::write(data.join(".lock"), "").unwrap();
    for text in cases {
        fs::write(&settings, text).unwrap();
        let parts = ["is not formatted", "klamm format"];
        assert_refused(&data, &["--config", path, "--data", data.to_str().unwrap()], &parts);
    }
}
