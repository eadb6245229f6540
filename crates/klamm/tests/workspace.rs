//! The house rules: which crate may use which, what the deterministic ones never touch, and how a file looks.
//!
//! `cargo metadata` says who depends on whom; the rest is read from the sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Data and rules on data; each may use those before it.
const VOCABULARY: &[&str] = &["protocol", "records", "metadata", "config"];
/// Deterministic: no clock, no randomness, no input or output of their own.
const MACHINES: &[&str] = &["quorum", "controller", "replica", "coordinator", "security"];
/// Input and output behind small seams.
const MECHANISMS: &[&str] = &["log", "net"];
/// What proves the others; nothing depends on it.
const PROOF: &[&str] = &["sim", "chaos", "conformance", "bench"];

/// What each program may use besides the vocabulary.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("client", &["net", "security"]),
    ("broker", &["quorum", "controller", "replica", "coordinator", "security", "log", "net"]),
    ("streams", &["client"]),
    ("connect", &["client"]),
    ("console", &["client"]),
    ("mirror", &["connect", "client"]),
    ("klamm", &["broker", "client", "streams", "connect", "mirror", "console", "log", "net"]),
];

/// Crates from elsewhere that bring time, chance, threads or the outside world with them.
const WORLDLY: &[&str] =
    &["tokio", "hyper", "hyper-util", "mio", "socket2", "rustix", "rustls", "rand", "getrandom"];

/// What a machine never names.
const NOT_IN_MACHINES: &[&str] = &[
    "tokio",
    "std::fs",
    "std::io",
    "std::net",
    "std::thread",
    "std::env",
    "Instant",
    "SystemTime",
    "rand::",
    "println!",
];

/// How a map is walked from end to end. The order of a `HashMap` differs from run to run, and so would outputs.
const WALKS: &[&str] = &[
    ".iter()",
    ".iter_mut()",
    ".keys()",
    ".values()",
    ".values_mut()",
    ".into_iter()",
    ".into_values()",
    ".drain(",
];

/// What, within a few lines of a walk, makes its order not matter.
const ORDER_FREE: &[&str] = &[".sort", ".min", ".max", ".sum()", ".count()", ".any(", ".all("];

/// Files whose walks of a `HashMap` have no order that could be seen, and why.
const SEEN_IN_NO_ORDER: &[(&str, &str)] =
    &[("crates/coordinator/src/offsets/store.rs", "the end of a transaction settles each offset by itself")];

/// What a crate of the vocabulary never names.
const NOT_IN_VOCABULARY: &[&str] = &["tokio", "std::thread", "Instant", "SystemTime", "rand::"];

/// Files that hold `unsafe` code, each with the reason at its head.
const UNSAFE_FILES: &[&str] = &[];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &[
    "common", "core", "helper", "helpers", "manager", "managers", "misc", "shared", "stuff", "util", "utils",
];

const LINES_MAX: usize = 1200;

/// A member of the workspace.
struct Member {
    /// Name of its folder in `crates`.
    name: String,
    folder: PathBuf,
    /// Names of all it depends on, our own by their folder.
    dependencies: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn members() -> Vec<Member> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().iter().map(member).collect()
}

fn member(package: &Value) -> Member {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let own = |name: String| name.strip_prefix("klamm-").map(str::to_owned).unwrap_or(name);
    let dependencies = package["dependencies"].as_array().unwrap();
    Member {
        name: own(text(&package["name"])),
        folder: Path::new(&text(&package["manifest_path"])).parent().unwrap().to_owned(),
        dependencies: dependencies.iter().map(|dependency| own(text(&dependency["name"]))).collect(),
    }
}

/// Our own crates that this one may use; `None` if it has no place in the house.
fn allowed(name: &str) -> Option<Vec<&'static str>> {
    if let Some(position) = VOCABULARY.iter().position(|known| *known == name) {
        return Some(VOCABULARY[..position].to_vec());
    }
    if MACHINES.contains(&name) || MECHANISMS.contains(&name) {
        return Some(VOCABULARY.to_vec());
    }
    if PROOF.contains(&name) {
        let programs = PROGRAMS.iter().map(|(program, _)| *program);
        return Some([VOCABULARY, MACHINES, MECHANISMS].concat().into_iter().chain(programs).collect());
    }
    let (_, below) = PROGRAMS.iter().find(|(program, _)| *program == name)?;
    Some([VOCABULARY, below].concat())
}

/// All Rust files of a member, with their text, by their path in the repository.
fn sources(member: &Member) -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    let mut folders = vec![member.folder.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let within = path.strip_prefix(&member.folder).unwrap().to_string_lossy().into_owned();
                sources
                    .insert(format!("crates/{}/{within}", member.name), fs::read_to_string(&path).unwrap());
            }
        }
    }
    sources
}

/// Lines of code with their numbers: no comments, and nothing from the file's unit tests on.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    let lines = lines.take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether the word stands in the line by itself, not as part of a longer one.
fn names(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let ends_open = word.ends_with(is_part) && line[start + word.len()..].starts_with(is_part);
        !line[..start].ends_with(is_part) && !ends_open
    })
}

/// Fields that a crate declares as hash maps or sets.
fn hashed_fields(sources: &BTreeMap<String, String>) -> Vec<&str> {
    let lines = sources.values().flat_map(|text| code(text));
    let declared =
        lines.filter_map(|(_, line)| line.split_once(": HashMap<").or(line.split_once(": HashSet<")));
    let names = declared.filter_map(|(before, _)| before.split([' ', '(', '&']).next_back());
    names.filter(|name| !name.is_empty()).collect()
}

/// Walks of hash maps whose order may be seen in what follows. Invariants are checked in any order.
fn unordered_walks(text: &str, hashed: &[&str]) -> Vec<usize> {
    let lines: Vec<_> = code(text).collect();
    let mut walks = Vec::new();
    let mut checks_invariants = false;
    for (i, (number, line)) in lines.iter().enumerate() {
        checks_invariants |= line.contains("fn check_invariants");
        let is_walk = hashed.iter().any(|field| {
            let whole = [format!("in &self.{field} "), format!("in &mut self.{field} ")];
            let walked = WALKS.iter().map(|walk| format!("self.{field}{walk}"));
            whole.into_iter().chain(walked).any(|walk| line.contains(&walk))
        });
        let mut next = lines[i..].iter().take(8);
        if is_walk
            && !checks_invariants
            && !next.any(|(_, line)| ORDER_FREE.iter().any(|word| line.contains(word)))
        {
            walks.push(*number);
        }
        checks_invariants &= *line != "    }";
    }
    walks
}

fn assert_none(broken: Vec<String>, rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn arrows_go_downwards_only() {
    let members = members();
    let ours: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
    let mut broken = Vec::new();
    for member in &members {
        let Some(allowed) = allowed(&member.name) else {
            broken.push(format!("{} has no band: give it one here", member.name));
            continue;
        };
        let used = member.dependencies.iter().map(String::as_str).filter(|name| ours.contains(name));
        let wrong = used.filter(|name| !allowed.contains(name) && *name != member.name);
        broken.extend(wrong.map(|name| format!("{} depends on {name}", member.name)));
    }
    assert_none(broken, "a crate may use only those below it");
}

#[test]
fn vocabulary_and_machines_stay_away_from_the_world() {
    let inner = |member: &Member| VOCABULARY.contains(&&*member.name) || MACHINES.contains(&&*member.name);
    let mut broken = Vec::new();
    for member in members().iter().filter(|member| inner(member)) {
        let worldly = member.dependencies.iter().filter(|name| WORLDLY.contains(&name.as_str()));
        broken.extend(worldly.map(|name| format!("{} depends on {name}", member.name)));
        let is_machine = MACHINES.contains(&&*member.name);
        let forbidden = if is_machine { NOT_IN_MACHINES } else { NOT_IN_VOCABULARY };
        for (path, text) in sources(member).iter().filter(|(path, _)| path.contains("/src/")) {
            for (number, line) in code(text) {
                let words = forbidden.iter().filter(|word| names(line, word));
                broken.extend(words.map(|word| format!("{path}:{number} names {word}")));
            }
        }
    }
    assert_none(broken, "the inner bands take time, chance and input from their callers");
}

#[test]
fn no_order_of_a_hash_map_gets_out_of_a_machine() {
    let mut broken = Vec::new();
    for member in members().iter().filter(|member| MACHINES.contains(&&*member.name)) {
        let mut sources = sources(member);
        sources.retain(|path, _| path.contains("/src/"));
        let hashed = hashed_fields(&sources);
        for (path, text) in
            sources.iter().filter(|(path, _)| SEEN_IN_NO_ORDER.iter().all(|(known, _)| known != path))
        {
            broken.extend(unordered_walks(text, &hashed).iter().map(|number| format!("{path}:{number}")));
        }
    }
    assert_none(
        broken,
        "what a machine says does not depend on the order of a HashMap: sort it, or use a BTreeMap",
    );
}

#[test]
fn a_walk_in_no_order_is_found() {
    let text = "struct S {\n    map: HashMap<u8, u8>,\n}\n\nfn f(&self) {\n    for x in &self.map {\n        say(x);\n    }\n}\n";
    let sources = BTreeMap::from([("s".to_owned(), text.to_owned())]);
    assert_eq!(hashed_fields(&sources), ["map"]);
    assert_eq!(unordered_walks(text, &["map"]), [6]);
    let sorted = text.replace("say(x);", "list.push(x);\n    }\n    list.sort();");
    assert_eq!(unordered_walks(&sorted, &["map"]), [] as [usize; 0]);
}

#[test]
fn only_net_opens_sockets_securely_and_nothing_uses_proof() {
    let mut broken = Vec::new();
    for member in members().iter().filter(|member| !PROOF.contains(&&*member.name)) {
        for name in &member.dependencies {
            if PROOF.contains(&name.as_str()) || (name == "rustls" && member.name != "net") {
                broken.push(format!("{} depends on {name}", member.name));
            }
        }
    }
    assert_none(broken, "rustls belongs to net, and proof to nobody");
}

#[test]
fn unsafe_code_is_where_it_is_listed() {
    let mut broken = Vec::new();
    for member in &members() {
        let manifest = fs::read_to_string(member.folder.join("Cargo.toml")).unwrap();
        if !manifest.contains("[lints]\nworkspace = true") {
            broken.push(format!("crates/{}/Cargo.toml does not take the workspace's lints", member.name));
        }
        for (path, text) in &sources(member) {
            let starts = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "allow(unsafe_code)"];
            let holds = code(text).any(|(_, line)| starts.iter().any(|start| line.contains(start)));
            if holds && !UNSAFE_FILES.contains(&path.as_str()) && !path.ends_with("tests/workspace.rs") {
                broken.push(format!("{path} holds unsafe code"));
            }
        }
    }
    assert_none(broken, "unsafe code is listed here, file by file");
}

#[test]
fn a_file_says_what_it_is_for_and_can_be_read_in_one_sitting() {
    let mut broken = Vec::new();
    for member in &members() {
        for (path, text) in &sources(member) {
            if !text.starts_with("//!") {
                broken.push(format!("{path} does not begin with //!"));
            }
            let count = text.lines().count();
            if count > LINES_MAX {
                broken.push(format!("{path} has {count} lines, more than {LINES_MAX}"));
            }
        }
    }
    assert_none(broken, "every file begins with what it is for, and is not too long");
}

#[test]
fn names_say_what_is_inside() {
    let mut broken = Vec::new();
    for member in &members() {
        if EMPTY_NAMES.contains(&&*member.name) {
            broken.push(format!("crates/{}", member.name));
        }
        for path in sources(member).into_keys() {
            let parts = path.trim_end_matches(".rs").split('/').skip(2);
            if parts.clone().any(|part| EMPTY_NAMES.contains(&part)) {
                broken.push(path);
            }
        }
    }
    assert_none(broken, "a name tells a reader what to expect");
}
