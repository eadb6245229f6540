//! A consumer at the tail, while another reads data that is not in the page cache.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::Advice;

use super::Goal::AtMost;
use super::end_to_end::produce_and_follow;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::{Failure, Result};
use crate::load::{Tally, Timetable, fill};
use crate::target::Node;
use crate::wire::{BatchShape, Connection, FetchRange, Fetcher, PreparedBatch, Topic};

const PER_SECOND: u32 = 1_000;
const READ: FetchRange = FetchRange { bytes_max: 1 << 20, wait_ms_max: 500 };
const BATCH_BYTES: usize = 64 << 10;
const VALUE_BYTES: usize = 1 << 10;

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "cold-reader".to_owned(),
        about: format!(
            "end to end at {PER_SECOND} records/s, while another consumer reads cold data as fast as it can"
        ),
        floor: None,
        is_quick: false,
        metrics: vec![
            Metric::new("tail p50 ms"),
            Metric::new("tail p99 ms").against_kafka(AtMost(0.2)),
            Metric::new("cold MB/s"),
        ],
        rounds_max: u32::MAX,
        run: Box::new(run),
    }
}

fn run(stage: &Stage<'_>) -> Result<Figures> {
    let node = stage.node()?;
    let batch = PreparedBatch::new(BatchShape::filling(BATCH_BYTES, VALUE_BYTES));
    stage.with_topic(&node, 1, &[], |cold| {
        fill(&node, cold, &batch, stage.scale.cold_bytes)?;
        // The writing that this causes is not to be measured.
        drop_from_page_cache(&segments_folder(&node, cold))?;
        stage.with_topic(&node, 1, &[], |tail| measure(stage, &node, cold, tail, &batch))
    })
}

fn measure(
    stage: &Stage<'_>,
    node: &Node,
    cold: &Topic,
    tail: &Topic,
    batch: &PreparedBatch,
) -> Result<Figures> {
    let tally = Tally::default();
    thread::scope(|scope| {
        let reader = scope.spawn(|| read_cold(node, cold, batch, &tally));
        let timetable = Timetable::new(PER_SECOND, stage.warm_up().time, stage.scale.open_loop);
        let latencies = produce_and_follow(node, tail, timetable);
        let seconds = timetable.start.elapsed().as_secs_f64();
        tally.stop();
        reader.join().map_err(|_| Failure::Other("the cold reader panicked".to_owned()))??;
        let latencies = latencies?;
        let cold_rate = tally.bytes() as f64 / 1e6 / seconds;
        Ok(Figures::new([latencies.percentile_ms(50.0), latencies.percentile_ms(99.0), cold_rate]))
    })
}

/// Reads the topic from the beginning, over and over, driving it out of the page cache before each time.
fn read_cold(node: &Node, topic: &Topic, batch: &PreparedBatch, tally: &Tally) -> Result<()> {
    let folder = segments_folder(node, topic);
    let mut fetcher = Fetcher::new(Connection::open(node.address())?, topic, READ);
    while !tally.is_stopped() {
        drop_from_page_cache(&folder)?;
        let (mut offset, mut end) = (0, i64::MAX);
        while offset < end && !tally.is_stopped() {
            fetcher.fetch(&[(0, offset)], |part| {
                offset += (part.records.len() / batch.bytes.len() * batch.records) as i64;
                end = part.high_watermark;
                tally.add(1, part.records.len());
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn segments_folder(node: &Node, topic: &Topic) -> PathBuf {
    node.data().join(format!("{}-0", topic.name))
}

/// Writes the segments of a partition to the disk, and asks the kernel to forget them.
fn drop_from_page_cache(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Failure::doing(folder.display().to_string()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let file = File::open(&path)?;
            file.sync_data()?;
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).map_err(std::io::Error::from)?;
        }
    }
    Ok(())
}
