//! The null broker: what produce requests cost when a broker does nothing but read frames, check the CRC of the
//! batches in them, append them to files, and answer what it was compiled to answer. Two threads with a runtime each.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, thread};

use klamm_protocol::{DecodeError, Reader, Uuid, Writer, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};

use crate::failure::{Failure, Result};
use crate::wire::PRODUCE_VERSION;

const THREADS: usize = 2;
const FRAME_BYTES_MAX: usize = 64 << 20;
/// How much is read at once, unless more of one frame is missing.
const READ_BYTES: usize = 64 << 10;
/// In a batch: where its CRC is, and where the bytes begin that it covers.
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;

/// This program as a null broker.
pub(super) fn command(address: SocketAddr, data: &Path) -> Result<Command> {
    let mut command = Command::new(env::current_exe().map_err(Failure::doing("the path of this program"))?);
    command.arg("null-broker").arg(address.to_string()).arg(data);
    Ok(command)
}

/// Serves until the process is ended.
pub(crate) fn serve(address: SocketAddr, data: &Path) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    let runtimes = (0..THREADS).map(|_| runtime()).collect::<Result<Vec<_>>>()?;
    for next in runtimes.iter().cycle() {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let partitions = Partitions { folder: data.to_owned(), files: HashMap::new() };
        next.spawn(async move {
            // How a connection ends concerns nobody here; the driver notices what it misses.
            let _ = serve_connection(TcpStream::from_std(stream)?, partitions).await;
            io::Result::Ok(())
        });
    }
    Ok(())
}

/// A runtime on a thread of its own.
fn runtime() -> Result<Handle> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let handle = runtime.handle().clone();
    thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    Ok(handle)
}

async fn serve_connection(mut stream: TcpStream, mut partitions: Partitions) -> Result<()> {
    let mut inbound = Vec::with_capacity(READ_BYTES);
    let mut answers = Writer::new();
    let mut wanted = READ_BYTES;
    while (&mut stream).take(wanted as u64).read_buf(&mut inbound).await? > 0 {
        let mut handled = 0;
        while let Some(request) = frame::complete(&inbound[handled..], FRAME_BYTES_MAX)? {
            produce(request, &mut partitions, &mut answers)?;
            handled += frame::PREFIX_LEN + request.len();
        }
        inbound.drain(..handled);
        // Reading a large frame up to its end and no further, there is nothing to move when the next one begins.
        let frame_len = frame::size(&inbound, FRAME_BYTES_MAX)?.map_or(0, |len| frame::PREFIX_LEN + len);
        wanted = READ_BYTES.max(frame_len.saturating_sub(inbound.len()));
        inbound.reserve(wanted);
        stream.write_all(answers.as_bytes()).await?;
        let mut emptied = answers.into_bytes();
        emptied.clear();
        answers = Writer::appending_to(emptied);
    }
    Ok(())
}

/// The files of the partitions that a connection has written to.
struct Partitions {
    folder: PathBuf,
    files: HashMap<(Uuid, i32), File>,
}

impl Partitions {
    fn append(&mut self, partition: (Uuid, i32), batch: &[u8]) -> Result<()> {
        let crc = batch.get(CRC_AT..CRC_FROM).and_then(|bytes| bytes.first_chunk());
        let crc = u32::from_be_bytes(*crc.ok_or_else(|| Failure::Other("a short batch".to_owned()))?);
        if crc32c::crc32c(&batch[CRC_FROM..]) != crc {
            return Err(Failure::Other("a batch with a wrong CRC".to_owned()));
        }
        let file = match self.files.get_mut(&partition) {
            Some(file) => file,
            None => {
                let path = self.folder.join(format!("{}-{}.log", partition.0, partition.1));
                let file = File::options().create(true).append(true).open(path)?;
                self.files.entry(partition).or_insert(file)
            }
        };
        Ok(file.write_all(batch)?)
    }
}

/// Answers a Produce request of the one version that the driver sends.
fn produce(request: &[u8], partitions: &mut Partitions, answers: &mut Writer) -> Result<()> {
    let mut done = Ok(());
    frame::encode(answers, |answer| {
        done = walk(request, partitions, answer);
        Ok(())
    })?;
    done
}

/// Goes through the request and writes its answer on the way.
fn walk(request: &[u8], partitions: &mut Partitions, answer: &mut Writer) -> Result<()> {
    let mut r = Reader::new(request);
    answer.i32(read_head(&mut r)?);
    answer.unsigned_varint(0);
    let topics = r.unsigned_varint()?;
    answer.unsigned_varint(topics);
    for _ in 1..topics {
        let topic = r.uuid()?;
        answer.uuid(topic);
        let count = r.unsigned_varint()?;
        answer.unsigned_varint(count);
        for _ in 1..count {
            let index = r.i32()?;
            let batch = r.bytes(true)?;
            r.skip_tagged_fields()?;
            partitions.append((topic, index), &batch)?;
            answer_partition(index, answer);
        }
        r.skip_tagged_fields()?;
        answer.unsigned_varint(0);
    }
    answer.i32(0);
    answer.unsigned_varint(0);
    Ok(())
}

/// The header and what stands before the topics; gives the correlation id.
fn read_head(r: &mut Reader<'_>) -> std::result::Result<i32, DecodeError> {
    r.skip(2)?;
    let version = r.i16()?;
    debug_assert_eq!(version, PRODUCE_VERSION, "the driver sends one version");
    let correlation_id = r.i32()?;
    r.nullable_string(false)?;
    r.skip_tagged_fields()?;
    r.nullable_string(true)?;
    r.skip(2 + 4)?;
    Ok(correlation_id)
}

/// Index, no error, offset 0, no append time, log start 0, no record errors, no message, no tagged fields.
fn answer_partition(index: i32, answer: &mut Writer) {
    answer.i32(index);
    answer.i16(0);
    answer.i64(0);
    answer.i64(-1);
    answer.i64(0);
    answer.unsigned_varint(1);
    answer.unsigned_varint(0);
    answer.unsigned_varint(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Acks, BatchShape, PreparedBatch, Topic, check_produced, produce_frame};

    #[test]
    fn answers_are_those_of_a_broker_and_batches_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut partitions = Partitions { folder: folder.path().to_owned(), files: HashMap::new() };
        let topic = Topic { name: "t".to_owned(), id: Uuid::from_u128(7), partitions: 2 };
        let batch = PreparedBatch::new(BatchShape::single(100));
        let request = produce_frame(&topic, &[0, 1], &batch, Acks::Leader).expect("a frame");

        let mut answers = Writer::new();
        produce(&request[frame::PREFIX_LEN..], &mut partitions, &mut answers).expect("an answer");
        let answer = frame::complete(answers.as_bytes(), 1 << 20).expect("a frame").expect("all of it");
        check_produced(answer).expect("an answer that says yes");
        let file = folder.path().join(format!("{}-1.log", topic.id));
        assert_eq!(std::fs::read(file).expect("a file"), batch.bytes);

        let mut torn = request.clone();
        let last_value_byte = torn.len() - 8;
        torn[last_value_byte] ^= 1;
        let error = produce(&torn[frame::PREFIX_LEN..], &mut partitions, &mut Writer::new());
        assert_eq!(error.expect_err("a CRC").to_string(), "a batch with a wrong CRC");
    }
}
