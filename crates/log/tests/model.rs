//! Random operations on a log and on a plain model of one: they agree after every step.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use klamm_log::disk::simulated::{Crash, SimulatedDisk};
use klamm_log::{LeaderAppend, Log, LogConfig, LogOpening, ReadError, verify};
use support::{DIR, batch, batch_of, marker, open_simulated, opening, simulated, transactional, values};

/// What a log should hold.
#[derive(Default)]
struct Model {
    records: BTreeMap<i64, String>,
    start: i64,
    end: i64,
    high_watermark: i64,
    recovery_point: i64,
    /// First offset of the open transaction of each producer, and the next sequence it sends.
    transactions: BTreeMap<i64, i64>,
    sequences: BTreeMap<i64, i32>,
}

struct Run {
    random: u64,
    disk: SimulatedDisk,
    log: Log,
    model: Model,
    steps: i64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let disk = simulated(seed);
        let (log, _) = open_simulated(&disk, settings());
        Self {
            random: seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1,
            disk,
            log,
            model: Model::default(),
            steps: 0,
        }
    }

    /// Xorshift; seeds only have to differ.
    fn below(&mut self, bound: i64) -> i64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % bound.max(1) as u64) as i64
    }

    fn step(&mut self) {
        self.steps += 1;
        match self.below(20) {
            0..=5 => self.append_plain(),
            6..=8 => self.append_idempotent(),
            9..=10 => self.append_transactional(),
            11..=12 => self.end_transaction(),
            13 => self.raise_high_watermark(),
            14 => self.flush(),
            15 => self.truncate(),
            16 => self.move_start(),
            17 => self.delete_old(),
            18 => self.restart(),
            _ => self.repeat_batch(),
        }
    }

    fn value(&mut self) -> String {
        let length = self.below(120) as usize;
        format!("{}:{}", self.steps, "v".repeat(length))
    }

    fn add(&mut self, values: &[String]) {
        for value in values {
            self.model.records.insert(self.model.end, value.clone());
            self.model.end += 1;
        }
    }

    fn append_plain(&mut self) {
        let count = 1 + self.below(4);
        let values: Vec<String> = (0..count).map(|_| self.value()).collect();
        let refs: Vec<&str> = values.iter().map(String::as_str).collect();
        let appended = self.log.append_as_leader(&[batch(self.steps, &refs)], client()).unwrap();
        assert_eq!(
            (appended.base_offset, appended.last_offset + 1),
            (self.model.end, self.model.end + count)
        );
        self.add(&values);
    }

    fn append_idempotent(&mut self) {
        let producer = 1 + self.below(3);
        let value = self.value();
        let sequence = self.model.sequences.get(&producer).copied().unwrap_or(0);
        self.log.append_as_leader(&[batch_of((producer, 0), sequence, &[&value])], client()).unwrap();
        self.model.sequences.insert(producer, sequence + 1);
        self.add(&[value]);
    }

    fn repeat_batch(&mut self) {
        let end = self.log.log_end_offset();
        for producer in self.log.producers() {
            if let Some(last) = producer.batches().last() {
                let id = (producer.producer_id, producer.producer_epoch);
                let again = batch_of(id, last.first_sequence(), &["again"]);
                let appended = self.log.append_as_leader(&[again], client()).unwrap();
                assert!(appended.is_duplicate && appended.last_offset == last.last_offset);
            }
        }
        assert_eq!(self.log.log_end_offset(), end);
    }

    fn append_transactional(&mut self) {
        let producer = 11 + self.below(3);
        let value = self.value();
        let sequence = self.model.sequences.get(&producer).copied().unwrap_or(0);
        self.log.append_as_leader(&[transactional((producer, 0), sequence, &[&value])], client()).unwrap();
        self.model.sequences.insert(producer, sequence + 1);
        self.model.transactions.entry(producer).or_insert(self.model.end);
        self.add(&[value]);
    }

    fn end_transaction(&mut self) {
        let producer = 11 + self.below(3);
        if self.model.transactions.remove(&producer).is_some() {
            let is_abort = self.below(2) == 0;
            self.log
                .append_as_leader(&[marker((producer, 0), is_abort, 0)], LeaderAppend::coordinator(0, 0))
                .unwrap();
            self.model.end += 1;
        }
    }

    fn raise_high_watermark(&mut self) {
        let to = self.model.high_watermark + self.below(self.model.end - self.model.high_watermark + 1);
        self.log.advance_high_watermark(to);
        self.model.high_watermark = to;
    }

    fn flush(&mut self) {
        self.model.recovery_point = self.log.flush(i64::MAX).unwrap().recovery_point;
        assert_eq!(self.model.recovery_point, self.model.end);
    }

    /// Never below the high watermark: what is replicated stays.
    fn truncate(&mut self) {
        let to = self.model.high_watermark + self.below(self.model.end - self.model.high_watermark + 1);
        // A cut goes before the batch that holds the offset; the model cuts at batches' first offsets only.
        let Ok(slice) =
            self.log.read(to.min(self.model.end - 1).max(self.model.start), i64::MAX, 1, true, None)
        else {
            return;
        };
        let Some(data) = slice.data else { return };
        let mut bytes = vec![0; data.length];
        klamm_log::disk::read_exact_at(&*data.file, &mut bytes, data.position).unwrap();
        let to = klamm_records::BatchHeader::parse(&bytes).unwrap().base_offset;
        if to < self.model.high_watermark || to < self.model.start {
            return;
        }
        assert!(self.log.truncate_to(to, 0).unwrap());
        self.model.records.split_off(&to);
        self.model.end = to;
        self.model.recovery_point = self.model.recovery_point.min(to);
        self.reload_producers();
    }

    /// Takes the producers over from the log; that they follow from the records is checked by what they accept.
    fn reload_producers(&mut self) {
        let producers = self.log.producers();
        self.model.sequences = producers.iter().map(|p| (p.producer_id, p.last_sequence() + 1)).collect();
        let open = |p: &klamm_log::ProducerState| Some((p.producer_id, p.current_transaction_start?));
        let transactions: BTreeMap<i64, i64> = producers.iter().filter_map(open).collect();
        for (producer, start) in &transactions {
            let known = self.model.transactions.get(producer).copied().unwrap_or(*start);
            // What is below the log start is not read again.
            let is_known = *start <= known || known < self.model.start;
            assert!(is_known && *start < self.model.end, "the transaction of {producer}");
        }
        self.model.transactions = transactions;
    }

    fn move_start(&mut self) {
        let to = self.model.start + self.below(self.model.high_watermark - self.model.start + 1);
        assert_eq!(self.log.advance_log_start(to), to > self.model.start);
        self.model.start = to;
    }

    fn delete_old(&mut self) {
        self.log.delete_old_segments(0).unwrap();
        self.log.remove_deleted_files(i64::MAX).unwrap();
        let base = self.log.segment_base_offsets()[0];
        assert!(base <= self.model.start);
    }

    fn restart(&mut self) {
        let was_clean = self.below(2) == 0;
        if was_clean {
            self.log.close(true).unwrap();
        }
        self.disk.restart(Crash::Process);
        let opening = LogOpening {
            was_clean,
            log_start_offset: self.model.start,
            recovery_point: self.model.recovery_point,
            ..settings()
        };
        let (log, report) = open_simulated(&self.disk, opening);
        assert_eq!(report.truncation, None);
        self.log = log;
        self.log.set_high_watermark(self.model.high_watermark);
        if was_clean {
            self.model.recovery_point = self.model.end;
        }
        self.reload_producers();
    }

    fn check(&mut self) {
        self.log.check_invariants();
        let Model { start, end, high_watermark, .. } = self.model;
        let found = (self.log.log_start_offset(), self.log.log_end_offset(), self.log.high_watermark());
        assert_eq!(found, (start, end, high_watermark));
        assert_eq!(self.log.recovery_point().max(start), self.model.recovery_point.max(start));
        let expected: Vec<_> = self.model.records.range(start..).map(|(k, v)| (*k, v.clone())).collect();
        assert_eq!(values(&self.log, start), expected);
        let at = start + self.below(end - start + 1);
        let expected = self.model.records.range(at..).count();
        assert_eq!(values(&self.log, at).len(), expected, "from {at}");
        assert!(matches!(
            self.log.read(end + 1, end, 1, true, None),
            Err(ReadError::OffsetOutOfRange { .. })
        ));
    }
}

fn client() -> LeaderAppend {
    LeaderAppend::client(0, 0)
}

fn settings() -> LogOpening {
    let config = LogConfig {
        segment_bytes: 1500,
        index_interval_bytes: 100,
        producer_id_expiration_ms: i64::MAX,
        retention_ms: -1,
        ..LogConfig::default()
    };
    LogOpening { config: Arc::new(config), ..opening(DIR) }
}

#[test]
fn a_log_does_what_its_model_does() {
    for seed in 0..200 {
        let mut run = Run::new(seed);
        for step in 0..150 {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                run.step();
                run.check();
            }));
            assert!(outcome.is_ok(), "seed {seed}, step {step}");
        }
        run.log.close(true).unwrap();
        assert_eq!(verify(&run.disk, Path::new(DIR)).unwrap(), [], "seed {seed}");
    }
}
