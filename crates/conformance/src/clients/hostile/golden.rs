//! Real requests and batches: those that the protocol's tests keep.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use klamm_protocol::ApiKey;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/golden")
}

/// Requests of every API and version that a broker's listener has, without their size.
pub(super) fn requests() -> io::Result<Vec<Vec<u8>>> {
    let mut requests = Vec::new();
    let mut files: Vec<_> = fs::read_dir(folder().join("rpc"))?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    for file in files {
        let text = fs::read_to_string(file.path())?;
        let frames =
            text.lines().filter_map(|line| line.split_once(" request ")).filter_map(|(_, hex)| unhex(hex));
        requests.extend(frames.filter(|frame| is_on_broker(frame)));
    }
    Ok(requests)
}

fn is_on_broker(frame: &[u8]) -> bool {
    let key = frame.first_chunk().map(|bytes| i16::from_be_bytes(*bytes));
    key.and_then(ApiKey::from_i16).is_some_and(ApiKey::is_on_broker)
}

/// Record batches with base offset 0, as producers send them.
pub(super) fn batches() -> io::Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(folder().join("batches.txt"))?;
    let mut batches: Vec<_> = text.lines().filter_map(|line| unhex(line.split_once(' ')?.1)).collect();
    batches.iter_mut().filter_map(|batch| batch.get_mut(..8)).for_each(|offset| offset.fill(0));
    Ok(batches)
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(hex.get(i..i + 2)?, 16).ok()).collect()
}
