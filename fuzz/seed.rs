//! Writes golden data as the targets' first inputs, below the folder given: exchanges for `requests` and
//! `responses`, batches for `record_batches`, what a node's logs hold for `stored_records`.

use std::{error::Error, fs, path::Path};

use klamm_records::{DecompressLimits, RecordIter};

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = std::env::args().nth(1).ok_or("which folder?")?;
    let corpus = Path::new(&corpus);
    exchanges(corpus)?;
    batches(corpus)?;
    stored_records(corpus)
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
    let folder = corpus.join("record_batches");
    fs::create_dir_all(&folder)?;
    for line in fs::read_to_string(golden)?.lines() {
        let Some((name, hex)) = line.split_once(' ') else { continue };
        let mut batch = unhex(hex)?;
        // Base offset 0, as producers send it; repaired, recompressed with the first codec.
        batch[..8].fill(0);
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

fn unhex(hex: &str) -> Result<Vec<u8>, std::num::ParseIntError> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16)).collect()
}
