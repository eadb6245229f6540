//! Writes the golden exchanges as first inputs of `requests` and `responses`, and the golden batches as those of
//! `record_batches`, below the folder given.

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = std::env::args().nth(1).ok_or("which folder?")?;
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
            let folder = Path::new(&corpus).join(format!("{kind}s"));
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(format!("{stem}-{version}")), input)?;
        }
    }
    batches(Path::new(&corpus))
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

fn unhex(hex: &str) -> Result<Vec<u8>, std::num::ParseIntError> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16)).collect()
}
