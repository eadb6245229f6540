//! The batches and log files that Kafka 4.4.0 wrote, read and written again.

use std::fmt::Write as _;
use std::path::PathBuf;

use klamm_records::{
    AnyBatch, Batch, BatchBuilder, BatchHeader, Compression, ControlType, DecompressLimits, EndTxnMarker,
    Header, NewRecord, RecordIter, TimestampType, any_batches, batches,
};

fn golden(path: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "protocol", "golden", path].iter().collect()
}

fn golden_batches() -> Vec<(String, Vec<u8>)> {
    let text = std::fs::read_to_string(golden("batches.txt")).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(name, hex)| (name.to_owned(), bytes_of(hex))).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    hex.trim().as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn limits() -> DecompressLimits {
    DecompressLimits::default()
}

/// Writes the batch's records again, one by one, with a builder that knows nothing else of the batch.
fn rebuilt(batch: &Batch<'_>, codec: Compression) -> Vec<u8> {
    let header = batch.header();
    let mut builder = BatchBuilder::new(header.base_offset)
        .codec(codec)
        .producer(header.producer_id, header.producer_epoch, header.base_sequence)
        .transactional(header.attributes.is_transactional())
        .control(header.attributes.is_control())
        .partition_leader_epoch(header.partition_leader_epoch);
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
        builder = builder.log_append_time(header.max_timestamp);
    }
    if let Some(horizon_ms) = header.delete_horizon_ms() {
        builder = builder.delete_horizon_ms(horizon_ms);
    }
    let body = batch.decompress(limits()).unwrap();
    for record in RecordIter::new(header, &body) {
        let record = record.unwrap();
        let headers: Vec<Header<'_>> = record.headers.collect();
        let timestamp = record.timestamp;
        let new = NewRecord { timestamp, key: record.key, value: record.value, headers: &headers };
        let size = builder.size_with(&new);
        builder.append_at(record.offset, &new);
        assert_eq!(builder.size(), size);
    }
    builder.build()
}

#[test]
fn every_golden_batch_is_read() {
    let all = golden_batches();
    assert_eq!(all.len(), 16);
    for (name, bytes) in &all {
        let batch = Batch::parse(bytes).unwrap();
        assert_eq!(batch.bytes(), bytes, "{name}");
        assert_eq!(batch.check_crc(), Ok(()), "{name}");
        assert_eq!(batch.header().write(), bytes[..BatchHeader::SIZE], "{name}");
        let mut records = batch.records(limits()).unwrap();
        let mut count = 0;
        while records.next_record().unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, batch.header().count, "{name}");
    }
}

#[test]
fn uncompressed_batches_are_written_as_kafka_writes_them() {
    let mut equal = Vec::new();
    for (name, bytes) in golden_batches() {
        let batch = Batch::parse(&bytes).unwrap();
        let create_time = batch.header().attributes.timestamp_type() == TimestampType::CreateTime;
        let plain = batch.header().attributes.compression() == Some(Compression::None);
        if plain && create_time && batch.header().count > 0 {
            assert_eq!(rebuilt(&batch, Compression::None), bytes, "{name}");
            equal.push(name);
        }
    }
    assert_eq!(equal.len(), 9, "{equal:?}");
}

#[test]
fn batches_emptied_by_compaction_are_written_as_kafka_writes_them() {
    let all = golden_batches();
    let (_, bytes) = all.iter().find(|(name, _)| name == "compacted-empty").unwrap();
    let batch = Batch::parse(bytes).unwrap();
    assert_eq!(&BatchBuilder::rewriting(batch.header()).build(), bytes);
}

#[test]
fn recompressed_batches_hold_the_same_records() {
    for (name, bytes) in golden_batches() {
        let batch = Batch::parse(&bytes).unwrap();
        for codec in Compression::ALL {
            let again = rebuilt(&batch, codec);
            let again = Batch::parse(&again).unwrap();
            assert_eq!(again.check_crc(), Ok(()), "{name} {codec}");
            let (left, right) = (batch.decompress(limits()).unwrap(), again.decompress(limits()).unwrap());
            let left: Vec<_> = RecordIter::new(batch.header(), &left).map(Result::unwrap).collect();
            let right: Vec<_> = RecordIter::new(again.header(), &right).map(Result::unwrap).collect();
            assert_eq!(left, right, "{name} {codec}");
        }
    }
}

#[test]
fn end_markers_are_read_and_written() {
    for (name, committed, producer_id, base_offset) in
        [("control-commit", true, 31, 2), ("control-abort", false, 32, 13)]
    {
        let (_, bytes) = golden_batches().into_iter().find(|(golden, _)| golden == name).unwrap();
        let batch = Batch::parse(&bytes).unwrap();
        let record = RecordIter::new(batch.header(), batch.body()).next().unwrap().unwrap();
        let marker = EndTxnMarker::parse(&record).unwrap();
        assert_eq!(marker, EndTxnMarker { committed, coordinator_epoch: 0 });
        let mut again = marker.to_batch(producer_id, 1, batch.header().max_timestamp);
        again.stamp(base_offset, 0);
        assert_eq!(again.into_bytes(), bytes);
    }
}

#[test]
fn kraft_control_records_have_their_types() {
    let types = |name: &str| -> Vec<ControlType> {
        let (_, bytes) = golden_batches().into_iter().find(|(golden, _)| golden == name).unwrap();
        let batch = Batch::parse(&bytes).unwrap();
        let records = RecordIter::new(batch.header(), batch.body());
        records.map(|record| ControlType::of(&record.unwrap()).unwrap()).collect()
    };
    use ControlType::{KRaftVersion, KRaftVoters, LeaderChange, SnapshotFooter, SnapshotHeader};
    let leader_change = types("control-leader-change-kraft-version-voters");
    assert_eq!(leader_change, [LeaderChange, KRaftVersion, KRaftVoters]);
    assert_eq!(types("control-snapshot-header"), [SnapshotHeader, KRaftVersion, KRaftVoters]);
    assert_eq!(types("control-snapshot-footer"), [SnapshotFooter]);
}

/// The lines of `contents.txt` about a log file's batches, and about records that are not decoded further there.
fn expected(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(golden("files/contents.txt")).unwrap();
    let lines = text.lines().skip_while(|line| !line.starts_with(&format!("{file} ("))).skip(1);
    lines.take_while(|line| line.starts_with(' ')).map(|line| line.trim().to_owned()).collect()
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or("null".to_owned(), |bytes| format!("{:?}", str::from_utf8(bytes).unwrap()))
}

fn describe(bytes: &[u8]) -> Vec<String> {
    let (mut lines, mut position) = (Vec::new(), 0);
    for batch in batches(bytes) {
        let batch = batch.unwrap();
        batch.check_crc().unwrap();
        lines.push(describe_batch(&batch, position));
        position += batch.bytes().len();
        lines.extend(describe_records(&batch));
    }
    assert_eq!(position, bytes.len());
    lines
}

fn describe_batch(batch: &Batch<'_>, position: usize) -> String {
    let header = batch.header();
    format!(
        "batch at byte {position}, {} bytes, crc {:08x}: {{\"base\": {}, \"leaderEpoch\": {}, \"attr\": {}, \
         \"lastOffsetDelta\": {}, \"baseTs\": {}, \"maxTs\": {}, \"pid\": {}, \"epoch\": {}, \"seq\": {}, \
         \"count\": {}}}",
        header.size(),
        header.crc,
        header.base_offset,
        header.partition_leader_epoch,
        header.attributes.0,
        header.last_offset_delta,
        header.base_timestamp,
        header.max_timestamp,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.count
    )
}

fn describe_records(batch: &Batch<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut records = batch.records(limits()).unwrap();
    while let Some(record) = records.next_record().unwrap() {
        // contents.txt shows the stored timestamp, readers see the batch's.
        let timestamp = match batch.header().attributes.timestamp_type() {
            TimestampType::CreateTime => record.timestamp,
            TimestampType::LogAppendTime => batch.header().base_timestamp,
        };
        let mut line = format!("{} ts {timestamp} ", record.offset);
        if batch.header().attributes.is_control() {
            let marker = EndTxnMarker::parse(&record).unwrap();
            let name = if marker.committed { "COMMIT" } else { "ABORT" };
            let epoch = marker.coordinator_epoch;
            write!(line, "control {name} v0 {{\"CoordinatorEpoch\": {epoch}}}").unwrap();
        } else {
            write!(line, "key {} value {}", text(record.key), text(record.value)).unwrap();
        }
        let headers: Vec<String> = record
            .headers
            .map(|header| format!("[{:?}, {}]", header.key_str(), text(header.value)))
            .collect();
        if !headers.is_empty() {
            write!(line, " headers [{}]", headers.join(", ")).unwrap();
        }
        lines.push(line);
    }
    lines
}

#[test]
fn log_files_hold_what_contents_txt_says() {
    for file in [
        "append-time-0/00000000000000000000.log",
        "codecs-0/00000000000000000000.log",
        "compact-0/00000000000000000000.log",
        "compact-0/00000000000000000018.log",
        "compact-0/00000000000000000030.log",
        "golden-0/00000000000000000000.log",
        "golden-1/00000000000000000000.log",
        "recompressed-0/00000000000000000000.log",
        "txn-0/00000000000000000000.log",
        "txn-0/00000000000000000002.log",
    ] {
        let bytes = std::fs::read(golden("files").join(file)).unwrap();
        let (found, expected) = (describe(&bytes), expected(file));
        assert!(!expected.is_empty(), "{file}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{file}");
        }
        assert_eq!(found.len(), expected.len(), "{file}");
    }
}

fn drain(batch: &AnyBatch<'_>) {
    if let Ok(mut records) = batch.records(DecompressLimits { batch_bytes_max: 1 << 20, ..limits() }) {
        while let Ok(Some(record)) = records.next_record() {
            assert_eq!(record.headers.count(), record.headers.len());
        }
    }
}

#[test]
fn every_truncation_is_partial() {
    for (name, bytes) in golden_batches() {
        for len in 0..bytes.len() {
            assert!(batches(&bytes[..len]).next().is_none(), "{name} cut to {len}");
        }
    }
}

#[test]
fn every_damaged_byte_is_an_error_or_a_valid_view() {
    for (name, bytes) in golden_batches() {
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at] ^ 0x80, bytes[at].wrapping_add(1)]
            {
                let mut bad = bytes.clone();
                bad[at] = value;
                let Some(Ok(batch)) = any_batches(&bad).next() else { continue };
                // Base offset and leader epoch are outside of the CRC; the length and the magic byte decide what is read.
                let covered = at >= 17 && value != bytes[at];
                assert!(!covered || batch.check_crc().is_err(), "{name} byte {at}");
                drain(&batch);
            }
        }
    }
}
