//! Where records come from: a thread that reads files or standard input, which may block for as long as it likes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;

use tokio::sync::mpsc;

use crate::failure::{Context, Failure};
use crate::produce::input::Pieces;
use crate::produce::json;
use crate::produce::record::{Defaults, NewRecord};
use crate::produce::text::TextFormat;

/// How input becomes records.
#[derive(Clone, Debug)]
pub(crate) enum Format {
    /// A record for every piece between delimiters.
    Text { delimiter: Vec<u8>, format: TextFormat },
    /// A JSON object for every piece between delimiters.
    Json { delimiter: Vec<u8> },
    /// A record for every file.
    WholeFiles,
}

/// Records that were read together, or why there are no more.
pub(crate) type Chunk = Result<Vec<NewRecord>, Failure>;

/// Records of a chunk, at most.
const CHUNK_RECORDS: usize = 1_000;
/// Bytes of a chunk after which no further record is added to it.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Chunks that wait for the producer, at most; then reading waits.
const CHUNKS_WAITING: usize = 4;

/// Begins to read the files, or standard input where there are none.
pub(crate) fn start(
    files: Vec<PathBuf>,
    format: Format,
    defaults: Defaults,
) -> Result<mpsc::Receiver<Chunk>, Failure> {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let read = move || {
        let source = Source { sender, format, defaults };
        if let Err(failure) = source.read_all(&files) {
            // Where nobody listens any more there is nobody to tell.
            let _ = source.sender.blocking_send(Err(failure));
        }
    };
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(read)
        .context(|| "cannot begin to read".to_owned())?;
    Ok(receiver)
}

struct Source {
    sender: mpsc::Sender<Chunk>,
    format: Format,
    defaults: Defaults,
}

impl Source {
    fn read_all(&self, files: &[PathBuf]) -> Result<(), Failure> {
        if files.is_empty() {
            return self.read(io::stdin(), "standard input");
        }
        files.iter().try_for_each(|path| self.read_file(path))
    }

    fn read_file(&self, path: &Path) -> Result<(), Failure> {
        let name = path.display().to_string();
        let mut file = File::open(path).context(|| format!("cannot read {name}"))?;
        if !matches!(self.format, Format::WholeFiles) {
            return self.read(file, &name);
        }
        let mut value = Vec::new();
        file.read_to_end(&mut value).context(|| format!("cannot read {name}"))?;
        self.send(vec![self.defaults.complete(of_value(value))]);
        Ok(())
    }

    fn read(&self, stream: impl Read, name: &str) -> Result<(), Failure> {
        let mut pieces = Pieces::new(stream, self.delimiter().to_vec());
        let mut chunk = Vec::new();
        let (mut number, mut bytes) = (0u64, 0);
        while let Some(piece) = pieces.next_piece().context(|| format!("cannot read {name}"))? {
            number += 1;
            bytes += piece.len();
            match self.parse(&piece) {
                Ok(record) => chunk.push(self.defaults.complete(record)),
                Err(problem) => {
                    self.send(chunk);
                    return Err(Failure::new(format!("{name}, record {number}: {problem}")));
                }
            }
            if !pieces.has_more_at_hand() || chunk.len() >= CHUNK_RECORDS || bytes >= CHUNK_BYTES {
                bytes = 0;
                if !self.send(std::mem::take(&mut chunk)) {
                    return Ok(());
                }
            }
        }
        self.send(chunk);
        Ok(())
    }

    fn delimiter(&self) -> &[u8] {
        match &self.format {
            Format::Text { delimiter, .. } | Format::Json { delimiter } => delimiter,
            Format::WholeFiles => b"\n",
        }
    }

    fn parse(&self, piece: &[u8]) -> Result<NewRecord, String> {
        match &self.format {
            Format::Text { format, .. } => format.parse(piece).map_err(|error| error.to_string()),
            Format::Json { .. } => json::parse(piece).map_err(|error| error.to_string()),
            Format::WholeFiles => Ok(of_value(piece.to_vec())),
        }
    }

    /// Whether anybody still wants records.
    fn send(&self, chunk: Vec<NewRecord>) -> bool {
        chunk.is_empty() || self.sender.blocking_send(Ok(chunk)).is_ok()
    }
}

fn of_value(value: Vec<u8>) -> NewRecord {
    NewRecord { value: Some(value), ..NewRecord::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All records of these files, and the failure that ended them.
    fn read(files: &[(&str, &str)], format: Format) -> (Vec<NewRecord>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let paths = files.iter().map(|(name, content)| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        });
        let mut chunks = start(paths.collect(), format, Defaults::default()).unwrap();
        let mut records = Vec::new();
        while let Some(chunk) = chunks.blocking_recv() {
            match chunk {
                Ok(chunk) => records.extend(chunk),
                Err(failure) => return (records, Some(failure.to_string())),
            }
        }
        (records, None)
    }

    fn values(records: &[NewRecord]) -> Vec<&[u8]> {
        records.iter().map(|record| record.value.as_deref().unwrap()).collect()
    }

    #[test]
    fn files_are_read_one_after_the_other() {
        let format = Format::Text { delimiter: b"\n".to_vec(), format: TextFormat::default() };
        let (records, failure) = read(&[("a", "1\n2"), ("b", "3\n")], format);
        assert_eq!((values(&records), failure), (vec![&b"1"[..], b"2", b"3"], None));
        let (records, failure) = read(&[("a", "1\n2"), ("b", "3\n")], Format::WholeFiles);
        assert_eq!((values(&records), failure), (vec![&b"1\n2"[..], b"3\n"], None));
    }

    #[test]
    fn what_comes_before_a_wrong_record_is_kept() {
        let format = Format::Json { delimiter: b"\n".to_vec() };
        let (records, failure) = read(&[("a", "{\"value\":\"1\"}\nx\n{}\n")], format);
        assert_eq!(values(&records), [b"1"]);
        let failure = failure.unwrap();
        assert!(failure.contains("a, record 2: it is no JSON"), "{failure}");
    }
}
