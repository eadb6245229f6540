//! Kafka's DumpLogSegments over every file of a folder that the broker under test wrote.

use std::fs;
use std::path::{Path, PathBuf};

use super::{End, append, own, serve, write};
use crate::check::{Verdict, expect, expect_none};
use crate::nodes::NodeFolder;
use crate::stage::Stage;

/// What the tool prints about files that are not as they should be.
const COMPLAINTS: &[&str] = &[
    "isvalid: false",
    "isValid: false",
    "Mismatches in",
    "Found timestamp mismatch",
    "Found out of order timestamp",
    "Index offset:",
    "Non-consecutive offsets",
    "corrupt",
    "Exception",
    "The following",
];

/// Segments with all records, both indexes, producer snapshots, the offsets topic and the metadata log, each decoded.
pub(super) fn dump_log_segments(stage: &Stage<'_>) -> Verdict {
    let folder = NodeFolder::create(stage.scratch().join("node"), &[])?;
    for _ in 0..2 {
        serve(stage, own(stage)?, &folder, End::Stop, |stage, bootstrap| {
            if !folder.data().join("codecs-0").exists() {
                return write(stage, bootstrap);
            }
            append(stage, bootstrap)
        })?;
    }
    let files = files(&folder.data())?;
    let logs: Vec<_> = of_kind(&files, ".log").collect();
    expect(logs.len() >= 20, "at least twenty segments", || format!("{logs:?}"))?;
    for log in &logs {
        let came = dump(stage, log, decoder(log))?;
        expect(came.contains("Dumping "), "a dump", || came.clone())?;
    }
    for kind in [".index", ".timeindex"] {
        for index in of_kind(&files, kind) {
            dump(stage, index, "--verify-index-only")?;
            // Kafka itself leaves the metadata log's indexes at their full size, which this complains of.
            if !index.to_string_lossy().contains("__cluster_metadata") {
                dump(stage, index, "--index-sanity-check")?;
            }
        }
    }
    let snapshots: Vec<_> = of_kind(&files, ".snapshot").collect();
    expect(!snapshots.is_empty(), "snapshots of producers after a clean stop", || format!("{files:?}"))?;
    snapshots.iter().try_for_each(|snapshot| dump(stage, snapshot, "").map(drop))?;
    of_kind(&files, ".checkpoint")
        .try_for_each(|file| dump(stage, file, "--cluster-metadata-decoder").map(drop))
}

/// What the records of this log are.
fn decoder(log: &Path) -> &'static str {
    let folder = log.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    match folder.as_ref() {
        "__cluster_metadata-0" => "--cluster-metadata-decoder",
        _ if folder.starts_with("__consumer_offsets-") => "--offsets-decoder",
        _ => "--deep-iteration --print-data-log",
    }
}

fn dump(stage: &Stage<'_>, file: &Path, how: &str) -> Verdict<String> {
    let args = format!("--files {} {how}", file.display());
    let output = stage.tool_ending_somehow("DumpLogSegments", &args, "")?.successful(&args)?;
    expect_none(&output.stdout, COMPLAINTS)?;
    expect_none(&output.stderr, &["Exception", "ERROR"])?;
    Ok(output.stdout)
}

fn of_kind<'a>(files: &'a [PathBuf], kind: &str) -> impl Iterator<Item = &'a PathBuf> {
    files.iter().filter(move |file| file.to_string_lossy().ends_with(kind))
}

/// All files that are not empty, in order; metadata's own temporary ones are not there after a stop.
fn files(folder: &Path) -> Verdict<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else if fs::metadata(&path)?.len() > 0 {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
