//! The command line as its users meet it: help, errors, exit codes, pipes. No broker is needed.

mod binary;

use binary::{Run, klamm, klamm_into_closed_pipe};

/// Every command, as words on the command line.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["start"],
    &["format"],
    &["topic"],
    &["topic", "create"],
    &["topic", "list"],
    &["topic", "describe"],
    &["topic", "alter"],
    &["topic", "delete"],
    &["produce"],
    &["consume"],
    &["group"],
    &["group", "list"],
    &["group", "describe"],
    &["group", "delete"],
    &["group", "reset-offsets"],
    &["config"],
    &["config", "list"],
    &["config", "describe"],
    &["config", "set"],
    &["config", "delete"],
    &["cluster"],
    &["cluster", "describe"],
    &["cluster", "health"],
    &["cluster", "dev"],
    &["quorum"],
    &["quorum", "describe"],
    &["quorum", "add-voter"],
    &["quorum", "remove-voter"],
    &["partition"],
    &["partition", "reassign"],
    &["partition", "elect-leader"],
    &["partition", "list-offline"],
    &["broker"],
    &["broker", "decommission"],
    &["log"],
    &["log", "dump"],
    &["settings"],
    &["random-uuid"],
    &["completions"],
];

#[test]
fn every_command_explains_itself() {
    for command in COMMANDS {
        let Run { code, out, err } = klamm(&[command, ["--help"].as_slice()].concat());
        assert_eq!((code, err.as_str()), (0, ""), "{command:?}");
        assert!(out.contains("Usage: klamm"), "{command:?}: {out}");
        let longest = out.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(longest <= 120, "{command:?} has a line of {longest} characters");
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_is_right() {
    let table: &[(&[&str], &str)] = &[
        (&["topik"], "'topic'"),
        (&["topic", "create"], "<TOPIC>"),
        (&["topic", "create", "t", "--partitions", "0"], "0 is not in 1.."),
        (&["topic", "create", "t", "--config", "retention"], "expected name=value"),
        (&["topic", "alter", "t"], "--partitions"),
        (&["produce", "t", "-K", ""], "a separator cannot be empty"),
        (&["produce", "t", "--json", "-K", ":"], "cannot be used with"),
        (&["consume", "t", "--format", "%y"], "unknown token %y"),
        (&["consume", "t", "--from", "tomorrow"], "no place to begin"),
        (&["consume", "t", "--from", "3", "--from-beginning"], "cannot be used with"),
        (&["group", "reset-offsets", "g", "--to-earliest"], "--topic"),
        (&["group", "reset-offsets", "g", "--topic", "t"], "--to-earliest"),
        (
            &["group", "reset-offsets", "g", "--topic", "t", "--to-earliest", "--to-latest"],
            "cannot be used with",
        ),
        (&["group", "reset-offsets", "g", "--topic", "t:x", "--to-earliest"], "expected numbers and ranges"),
        (&["config", "describe"], "--topic"),
        (&["config", "describe", "--topic", "t", "--broker", "1"], "cannot be used with"),
        (&["format", "--config", "f"], "--cluster-id"),
        (&["format", "--config", "f", "-s", "-f", "kraft.version=x"], "kraft.version=1"),
        (&["format", "--config", "f", "-t", "c", "-I", "1@host"], "id@host:port:directory"),
        (&["quorum", "add-voter", "4"], "--endpoint"),
        (&["partition", "reassign", "--to", "1"], "--topic"),
        (&["partition", "reassign", "--topic", "t", "--to", "1", "--status"], "cannot be used with"),
        (&["partition", "reassign", "--topic", "t"], "--to"),
        (&["partition", "elect-leader"], "<TOPIC[:PARTITIONS]>"),
        (&["settings", "retention.mss"], "did you mean retention.ms?"),
        (&["log", "dump", "Cargo.toml"], "is no file this command knows"),
    ];
    for (arguments, part) in table {
        let Run { code, out, err } = klamm(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(part), "{arguments:?}: {err}");
    }
}

#[test]
fn failures_are_one_line_and_exit_code_1() {
    // Port 1 of the loopback has no listener.
    let nobody = ["-b", "127.0.0.1:1", "--property", "default.api.timeout.ms=100"];
    let table: &[(&[&str], &str)] = &[
        (&["topic", "list", "--command-config", "/no/such/file"], "/no/such/file"),
        (&["topic", "list", "--property", "request.timeout.msx=1"], "request.timeout.ms"),
        (&["topic", "list"], "127.0.0.1:1"),
        (&["group", "list"], "127.0.0.1:1"),
        (&["config", "describe", "--topic", "t"], "127.0.0.1:1"),
        (&["consume", "t", "-e"], "127.0.0.1:1"),
        (&["cluster", "health"], "127.0.0.1:1"),
        (&["quorum", "describe"], "127.0.0.1:1"),
        (&["quorum", "describe", "--bootstrap-controller", "127.0.0.1:2"], "127.0.0.1:2"),
        (&["partition", "reassign", "--topic", "t", "--to", "1"], "127.0.0.1:1"),
        (&["broker", "decommission", "1"], "127.0.0.1:1"),
        (&["format", "--config", "/no/such/file", "-s"], "/no/such/file"),
        (&["log", "dump", "/no/such/file.log"], "/no/such/file.log"),
        (&["start", "--config", "/no/such/file"], "/no/such/file"),
    ];
    for (arguments, part) in table {
        let client = !matches!(arguments[0], "log" | "start" | "format");
        let options: &[&str] = if client { &nobody } else { &[] };
        let Run { code, out, err } = klamm(&[arguments, options].concat());
        assert_eq!((code, out.as_str()), (1, ""), "{arguments:?}: {err}");
        assert!(err.starts_with("klamm: ") && err.contains(part), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
    }
}

#[test]
fn settings_are_listed_and_described() {
    let broker = klamm(&["settings"]).out;
    assert!(broker.contains("\nnum.partitions "), "{broker}");
    let topic = klamm(&["settings", "--topic"]).out;
    assert!(topic.contains("\nretention.ms "), "{topic}");
    assert!(!topic.contains("num.partitions"));
    let one = klamm(&["settings", "retention.ms"]).out;
    assert!(one.contains("604800000"), "{one}");
    let json: serde_json::Value =
        serde_json::from_str(&klamm(&["settings", "--topic", "--json"]).out).unwrap();
    assert!(json.as_array().unwrap().iter().any(|setting| setting["name"] == "cleanup.policy"));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let Run { code, out, .. } = klamm(&["completions", shell]);
        assert_eq!(code, 0);
        assert!(out.contains("reset-offsets") && out.contains("bootstrap-server"), "{shell}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    for arguments in [&["settings"][..], &["completions", "bash"], &["--help"]] {
        let Run { code, err, .. } = klamm_into_closed_pipe(arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
    }
}
