//! Golden data as the targets' first inputs: exchanges for `requests` and
//! `responses`, batches for `record_batches`, their bodies for `compression`, what a node's logs hold for
//! `stored_records` and `metadata_log`, its folders for `log_folder`, its small files for `log_files`.

use std::error::Error;
use std::fs;
use std::path::Path;

use klamm_config::setting::Scope;
use klamm_log::FileKind;
use klamm_records::{BatchHeader, DecompressLimits, RecordIter};

/// Writes them, each target's into a folder of its name.
///
/// # Errors
/// When golden data are missing or a file cannot be written.
pub fn write(corpus: &Path) -> Result<(), Box<dyn Error>> {
    exchanges(corpus)?;
    batches(corpus)?;
    stored_records(corpus)?;
    folders(corpus)?;
    metadata_logs(corpus)?;
    settings(corpus)
}

fn exchanges(corpus: &Path) -> Result<(), Box<dyn Error>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/protocol/golden/rpc");
    for entry in fs::read_dir(golden)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|s| s.to_str()).ok_or("a file without a name")?;
        let key: i16 = stem[..2].parse()?;
        for line in fs::read_to_string(&path)?.lines().filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, version, kind, hex] = words[..] else { return Err(format!("{stem}: {line}").into()) };
            let mut input = Vec::new();
            if kind == "response" {
                input.extend(key.to_be_bytes());
                input.extend(version.parse::<i16>()?.to_be_bytes());
            }
            input.extend(unhex(hex)?);
            let folder = corpus.join(format!("{kind}s"));
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(format!("{stem}-{version}")), input)?;
        }
    }
    Ok(())
}

fn batches(corpus: &Path) -> Result<(), Box<dyn Error>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/protocol/golden/batches.txt");
    let (folder, bodies) = (corpus.join("record_batches"), corpus.join("compression"));
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(&bodies)?;
    for line in fs::read_to_string(golden)?.lines() {
        let Some((name, hex)) = line.split_once(' ') else { continue };
        let mut batch = unhex(hex)?;
        // Base offset 0, as producers send it; repaired, recompressed with the first codec.
        batch[..8].fill(0);
        if let Ok(header) = BatchHeader::parse(&batch) {
            let body = [&[header.attributes.compression_id()], &batch[BatchHeader::SIZE..]].concat();
            fs::write(bodies.join(name), body)?;
        }
        batch.insert(0, 0b0011);
        fs::write(folder.join(name), batch)?;
    }
    Ok(())
}

/// The logs in the order by which the target's first byte chooses.
const LOGS: [&str; 5] = [
    "__cluster_metadata-0/00000000000000000000.log",
    "__remote_log_metadata-0/00000000000000000000.log",
    "__consumer_offsets-1/00000000000000000000.log",
    "__transaction_state-0/00000000000000000000.log",
    "__share_group_state-0/00000000000000000000.log",
];
const CONTROL: u8 = 5;

fn stored_records(corpus: &Path) -> Result<(), Box<dyn Error>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/protocol/golden/files");
    let folder = corpus.join("stored_records");
    fs::create_dir_all(&folder)?;
    for (log, file) in (0_u8..).zip(LOGS) {
        let bytes = fs::read(golden.join(file))?;
        for batch in klamm_records::batches(&bytes) {
            let batch = batch?;
            let body = batch.decompress(DecompressLimits::default())?;
            let log = if batch.header().attributes.is_control() { CONTROL } else { log };
            for record in RecordIter::new(batch.header(), &body) {
                let record = record?;
                let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
                let input = [&[log, u8::try_from(key.len())?], key, value].concat();
                fs::write(folder.join(format!("{log}-{}", record.offset)), input)?;
            }
        }
    }
    Ok(())
}

/// Longer inputs than the targets are run with.
const FOLDER_BYTES_MAX: usize = 60_000;
/// `log_files` names kinds of files by these numbers.
const LOG_FILES: [(&str, u8); 8] = [
    (".index", 0),
    (".timeindex", 1),
    (".txnindex", 2),
    (".snapshot", 3),
    ("checkpoint", 4),
    ("meta.properties", 5),
    ("partition.metadata", 6),
    (".kafka_cleanshutdown", 7),
];

/// Every folder as one input, and every small file as one of its own.
fn folders(corpus: &Path) -> Result<(), Box<dyn Error>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/protocol/golden/files");
    let (folders, files) = (corpus.join("log_folder"), corpus.join("log_files"));
    fs::create_dir_all(&folders)?;
    fs::create_dir_all(&files)?;
    for entry in fs::read_dir(golden)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let folder = entry.file_name().into_string().map_err(|name| format!("{name:?} is no text"))?;
        // Unclean, CRCs repaired.
        let mut input = vec![0b010];
        for file in fs::read_dir(entry.path())? {
            let file = file?;
            let name = file.file_name().into_string().map_err(|name| format!("{name:?} is no text"))?;
            if !file.file_type()?.is_file() {
                continue;
            }
            let content = fs::read(file.path())?;
            push_file(&mut input, &name, &content);
            if let Some((_, kind)) = LOG_FILES.iter().find(|(end, _)| name.ends_with(end)) {
                fs::write(files.join(format!("{folder}-{name}")), [&[*kind], &content[..]].concat())?;
            }
        }
        if input.len() <= FOLDER_BYTES_MAX {
            fs::write(folders.join(folder), input)?;
        }
    }
    Ok(())
}

/// A file as `log_folder` reads it; others than a log's own are left out.
fn push_file(input: &mut Vec<u8>, name: &str, content: &[u8]) {
    let (kind, offset) = match klamm_log::parse_file_name(name) {
        Some((offset, kind, "")) => {
            (FileKind::ALL.iter().position(|other| *other == kind).unwrap_or(0), offset)
        }
        _ if name == klamm_log::dump::LEADER_EPOCH_CHECKPOINT => (FileKind::ALL.len(), 0),
        _ => return,
    };
    let (Ok(offset), Ok(length)) = (u8::try_from(offset), u16::try_from(content.len())) else { return };
    input.extend([kind as u8, offset]);
    input.extend(length.to_be_bytes());
    input.extend(content);
}

/// CRCs repaired; snapshots have bit 0.
const METADATA: [(&str, u8); 6] = [
    ("__cluster_metadata-0/00000000000000000000.log", 0b10),
    ("static-quorum/00000000000000000000.log", 0b10),
    ("static-quorum-3.3/00000000000000000000.log", 0b10),
    ("__cluster_metadata-0/00000000000000000289-0000000001.checkpoint", 0b11),
    ("__cluster_metadata-0/00000000000000000564-0000000001.checkpoint", 0b11),
    ("static-quorum-3.3/00000000000000000000-0000000000.checkpoint", 0b11),
];

fn metadata_logs(corpus: &Path) -> Result<(), Box<dyn Error>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/protocol/golden/files");
    let folder = corpus.join("metadata_log");
    fs::create_dir_all(&folder)?;
    for (file, choices) in METADATA {
        let bytes = fs::read(golden.join(file))?;
        let bytes = &bytes[..bytes.len().min(FOLDER_BYTES_MAX)];
        fs::write(folder.join(file.replace('/', "-")), [&[choices], bytes].concat())?;
    }
    Ok(())
}

/// A node of a cluster, and one line for every setting there is, with its default.
fn settings(corpus: &Path) -> Result<(), Box<dyn Error>> {
    let folder = corpus.join("settings");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("node"), NODE)?;
    for setting in klamm_config::table::all(Scope::Broker) {
        let line = format!("{NODE}{}={}\n", setting.name, setting.default_text().unwrap_or_default());
        fs::write(folder.join(setting.name), line)?;
    }
    Ok(())
}

const NODE: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093,2@[::1]:9093
listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://:9093
advertised.listeners=PLAINTEXT://localhost:9092
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=/tmp/a,\\
  /tmp/b
";

fn unhex(hex: &str) -> Result<Vec<u8>, std::num::ParseIntError> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16)).collect()
}
