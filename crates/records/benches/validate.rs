//! What it costs to validate a produced batch, CRC included: `cargo bench -p klamm-records`.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use klamm_records::{
    BatchBuilder, BatchHeader, Compression, DecompressLimits, NewRecord, ProduceRules, RecordIter,
    TimestampType, validate_produce,
};

const NOW_MS: i64 = 1_700_000_000_000;

fn main() {
    println!("{:<44} {:>10} {:>12} {:>9}", "case", "bytes", "ns/batch", "GB/s");
    for codec in Compression::ALL {
        let batch = batch_of(codec, 1000, 256 * 1024);
        measure(&format!("{codec}, 256 KiB of 1 KB records"), &batch, &rules());
    }
    measure("none, 256 KiB of 100-byte records", &batch_of(Compression::None, 100, 256 * 1024), &rules());
    measure("none, one 100-byte record", &batch_of(Compression::None, 100, 1), &rules());
    measure("lz4, one 100-byte record", &batch_of(Compression::Lz4, 100, 1), &rules());
    measure("zstd, one 100-byte record", &batch_of(Compression::Zstd, 100, 1), &rules());
    measure("gzip, one 100-byte record", &batch_of(Compression::Gzip, 100, 1), &rules());
    let append_time = ProduceRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    let large = batch_of(Compression::None, 1000, 256 * 1024);
    measure("none, 256 KiB, LogAppendTime", &large, &append_time);
    measure("none, one record, LogAppendTime", &batch_of(Compression::None, 100, 1), &append_time);
    for target in [Compression::Lz4, Compression::Zstd] {
        let recompress = ProduceRules { codec: Some(target.into()), ..rules() };
        measure(&format!("none to {target}, 256 KiB of 1 KB records"), &large, &recompress);
    }
    for (source, target) in [
        (Compression::Lz4, Compression::Snappy),
        (Compression::Snappy, Compression::Lz4),
        (Compression::Lz4, Compression::Zstd),
        (Compression::Lz4, Compression::Gzip),
    ] {
        let recompress = ProduceRules { codec: Some(target.into()), ..rules() };
        let batch = words(source, 64 * 1024);
        measure(&format!("{source} to {target}, 64 KiB of text"), &batch, &recompress);
    }
    time("CRC alone, 256 KiB", large.len(), || BatchHeader::parse(&large).unwrap().compute_crc(&large[61..]));
    let header = BatchHeader::parse(&large).unwrap();
    time("iteration alone, 256 KiB of 1 KB records", large.len(), || {
        RecordIter::new(&header, &large[61..]).filter(|record| record.is_ok()).count()
    });
}

fn rules() -> ProduceRules {
    ProduceRules {
        max_message_bytes: 1 << 20,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: 3_600_000,
        compacted: false,
        codec: None,
        zstd_allowed: true,
        limits: DecompressLimits::default(),
        now_ms: NOW_MS,
    }
}

/// Records of half-random values, as many as fit into `size_max` bytes uncompressed, but at least one.
fn batch_of(codec: Compression, value_size: usize, size_max: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(0).codec(codec);
    let mut state = 1u64;
    loop {
        let mut value = vec![0; value_size];
        for byte in value.iter_mut().step_by(2) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        let record = NewRecord { timestamp: NOW_MS, value: Some(&value), ..NewRecord::default() };
        if !builder.is_empty() && builder.size_with(&record) > size_max {
            return builder.build();
        }
        builder.append(&record);
    }
}

/// Records of 1 KiB of words, as compressible as log lines, `size` bytes of them uncompressed.
fn words(codec: Compression, size: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(0).codec(codec);
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize
    };
    let vocabulary: Vec<[u8; 8]> = (0..1024).map(|_| [0; 8].map(|_| b'a' + (next() % 26) as u8)).collect();
    for _ in 0..size / 1024 {
        let mut value = Vec::with_capacity(1024 + 8);
        while value.len() < 1024 {
            value.extend_from_slice(&vocabulary[next() % vocabulary.len()][..3 + next() % 5]);
            value.push(b' ');
        }
        value.truncate(1024);
        builder.append(&NewRecord { timestamp: NOW_MS, value: Some(&value), ..NewRecord::default() });
    }
    builder.build()
}

fn measure(name: &str, batch: &[u8], rules: &ProduceRules) {
    time(name, batch.len(), || {
        validate_produce(black_box(batch), rules).expect("the batch is acceptable").size()
    });
}

/// Prints the best of several runs: what the code costs when nothing else has the processor.
fn time<T>(name: &str, bytes: usize, mut run: impl FnMut() -> T) {
    let rounds = (20_000_000 / (bytes + 1000)).max(10);
    let mut best_ns = f64::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(run());
        }
        best_ns = best_ns.min(start.elapsed().as_nanos() as f64 / rounds as f64);
    }
    println!("{name:<44} {bytes:>10} {best_ns:>12.0} {:>9.2}", bytes as f64 / best_ns);
}
