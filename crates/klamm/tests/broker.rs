//! The way through the README: start a broker, produce, consume, look at groups and settings, stop it.

mod binary;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use binary::{Run, command};

/// A running broker, killed when dropped.
struct Broker {
    process: Child,
    address: String,
}

impl Broker {
    /// Starts a broker on a free port and waits for the line that says that it is ready.
    fn start(data: &Path) -> Self {
        let arguments = ["start", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        let quick =
            ["--set", "offsets.topic.num.partitions=1", "--set", "group.initial.rebalance.delay.ms=0"];
        let mut process = command(&[&arguments[..], &quick].concat())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let ready = lines
            .map_while(Result::ok)
            .find(|line| line.contains(" is ready on "))
            .expect("it becomes ready");
        let address = ready.split("PLAINTEXT://").nth(1).expect("the line names the listener");
        let address = address.split([',', ' ']).next().expect("there is an address").to_owned();
        Self { process, address }
    }

    fn klamm(&self, arguments: &[&str]) -> Run {
        self.klamm_with_input(arguments, b"")
    }

    fn klamm_with_input(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut client = command(arguments)
            .env("KLAMM_BOOTSTRAP", &self.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        client.stdin.take().expect("it is piped").write_all(input).expect("the client reads its input");
        client.wait_with_output().expect("the client ends").into()
    }

    /// What a command prints that has to succeed.
    fn out(&self, arguments: &[&str]) -> String {
        let Run { code, out, err } = self.klamm(arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        out
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status();
        assert!(sent.expect("there is a kill command").success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn records_come_back_as_they_were_produced() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    assert!(broker.out(&["topic", "create", "greetings", "--partitions", "3"]).contains("created greetings"));
    let lines = r#"{"key":"k","value":"v","headers":[{"name":"h","value":null}],"partition":2,"timestamp":1700000000000}
{"key":null,"value_base64":"/wA=","partition":2,"timestamp":1700000000001}
"#;
    let produced =
        broker.klamm_with_input(&["produce", "greetings", "--json", "--print-offsets"], lines.as_bytes());
    assert_eq!((produced.out.as_str(), produced.err.as_str()), ("2 0\n2 1\n", ""));
    let consumed = broker.out(&["consume", "greetings", "--from-beginning", "--until-end", "--json"]);
    let expected = r#"{"topic":"greetings","partition":2,"offset":0,"timestamp":1700000000000,"timestamp_type":"create","headers":[{"name":"h","value":null}],"key":"k","value":"v"}
{"topic":"greetings","partition":2,"offset":1,"timestamp":1700000000001,"timestamp_type":"create","key":null,"value_base64":"/wA="}
"#;
    assert_eq!(consumed, expected);
    let by_time = ["consume", "greetings", "--from", "@1700000000001", "-e", "--format", "%p/%o\\n"];
    assert_eq!(broker.out(&by_time), "2/1\n");
}

#[test]
fn groups_go_on_where_they_stopped_and_can_be_reset() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    broker.out(&["topic", "create", "t"]);
    broker.klamm_with_input(&["produce", "t"], b"1\n2\n3\n4\n5\n");
    let consume = ["consume", "t", "--group", "g", "--from-beginning", "--max-count", "2"];
    assert_eq!(broker.out(&consume), "1\n2\n");
    assert_eq!(broker.out(&consume), "3\n4\n");
    let described: serde_json::Value =
        serde_json::from_str(&broker.out(&["group", "describe", "g", "--json"])).unwrap();
    assert_eq!(described[0]["offsets"][0]["lag"], 1, "{described}");
    let reset = ["group", "reset-offsets", "g", "--topic", "t", "--shift-by", "-3"];
    assert!(broker.out(&reset).contains("Nothing was changed"));
    broker.out(&[&reset[..], &["--execute"]].concat());
    assert_eq!(broker.out(&consume), "2\n3\n");
    assert_eq!(broker.out(&["group", "delete", "g"]), "deleted g\n");
}

#[test]
fn settings_change_while_the_broker_runs() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    broker.out(&["topic", "create", "t", "--config", "retention.ms=1000"]);
    broker.out(&["config", "set", "--topic", "t", "cleanup.policy=compact"]);
    let described = broker.out(&["config", "describe", "--topic", "t"]);
    assert!(described.contains("retention.ms    1000 ") && described.contains("compact"), "{described}");
    broker.out(&["config", "delete", "--topic", "t", "retention.ms"]);
    assert!(!broker.out(&["config", "list"]).contains("retention.ms"));
    let idle =
        broker.klamm(&["config", "set", "--cluster", "log.cleaner.threads=2", "log.retention.ms=1000"]);
    assert_eq!(idle.code, 0, "{}", idle.err);
    assert!(idle.err.contains("log.cleaner.threads is not implemented yet"), "{}", idle.err);
    assert!(!idle.err.contains("log.retention.ms"), "{}", idle.err);
    let wrong = broker.klamm(&["config", "set", "--topic", "t", "retention.mss=1"]);
    assert_eq!(wrong.code, 1, "{}", wrong.err);
    assert_eq!(wrong.err.lines().count(), 1, "{}", wrong.err);
}

#[test]
fn a_cluster_of_one_is_described_and_healthy() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    broker.out(&["topic", "create", "t", "--partitions", "2"]);
    let described: serde_json::Value =
        serde_json::from_str(&broker.out(&["cluster", "describe", "--json"])).unwrap();
    assert_eq!(described["nodes"][0]["roles"], serde_json::json!(["broker", "voter"]), "{described}");
    assert_eq!(described["partitions"]["total"], 2, "{described}");
    assert_eq!(described["controller"], described["nodes"][0]["id"], "{described}");
    assert_eq!(broker.out(&["cluster", "health"]), "healthy\n");
    let quorum: serde_json::Value =
        serde_json::from_str(&broker.out(&["quorum", "describe", "--json"])).unwrap();
    assert_eq!(quorum["replicas"][0]["role"], "leader", "{quorum}");
    assert_eq!(broker.out(&["partition", "list-offline"]), "every partition has a leader\n");
    assert!(broker.out(&["partition", "elect-leader", "t:1"]).contains("t-1 needs no election"));
    assert_eq!(broker.out(&["partition", "reassign", "--status"]), "nothing is being moved\n");
}

#[test]
fn a_formatted_folder_belongs_to_its_cluster() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("server.properties");
    let folder = data.path().join("data");
    let settings = format!(
        "process.roles=broker,controller\nnode.id=1\nlisteners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:19093\n\
         controller.listener.names=CONTROLLER\ncontroller.quorum.bootstrap.servers=127.0.0.1:19093\nlog.dirs={}\n",
        folder.display()
    );
    std::fs::write(&file, settings).unwrap();
    let format = ["format", "--config", file.to_str().unwrap(), "--cluster-id", "vJFxmYduShmm2svOZLeA8Q"];
    let standalone = [&format[..], &["--standalone", "--json"]].concat();
    let undecided: Run = command(&format).output().unwrap().into();
    assert_eq!(undecided.code, 1, "{}", undecided.err);
    let done: Run = command(&standalone).output().unwrap().into();
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{}", done.out);
    let done: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(done["cluster_id"], "vJFxmYduShmm2svOZLeA8Q");
    let properties = std::fs::read_to_string(folder.join("meta.properties")).unwrap();
    assert!(properties.contains("cluster.id=vJFxmYduShmm2svOZLeA8Q"), "{properties}");
    let again: Run = command(&standalone).output().unwrap().into();
    assert_eq!(again.code, 1, "{}", again.out);
    let ignored: Run = command(&[&standalone[..], &["--ignore-formatted"]].concat()).output().unwrap().into();
    assert_eq!(ignored.code, 0, "{}", ignored.err);
}

#[test]
fn what_was_acknowledged_survives_sigkill_and_sigterm_ends_within_a_second() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    broker.klamm_with_input(&["produce", "kept", "--acks", "1"], b"a\nb\n");
    broker.signal("-KILL");
    drop(broker);
    let mut broker = Broker::start(data.path());
    assert_eq!(broker.out(&["consume", "kept", "--from-beginning", "-e"]), "a\nb\n");
    let asked = Instant::now();
    broker.signal("-TERM");
    let status = broker.process.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(1), "it took {:?}", asked.elapsed());
    let sound = command(&["log", "dump", "--verify", data.path().to_str().unwrap()]).output().unwrap();
    assert!(sound.status.success(), "{}", String::from_utf8_lossy(&sound.stdout));
}

#[test]
fn a_second_broker_on_the_same_folder_or_port_says_so() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    let other = tempfile::tempdir().unwrap();
    let table = [
        (data.path(), "127.0.0.1:0", data.path().to_str().unwrap()),
        (other.path(), &broker.address, &broker.address),
    ];
    for (folder, listen, part) in table {
        let Run { code, err, .. } =
            command(&["start", "--data", folder.to_str().unwrap(), "--listen", listen])
                .output()
                .unwrap()
                .into();
        assert_eq!(code, 1, "{err}");
        assert!(err.starts_with("klamm: ") && err.contains(part), "{err}");
    }
}
