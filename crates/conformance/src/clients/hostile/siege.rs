//! A node under attack: a producer and a bystander go on beside the attackers, and its memory is watched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::memory::MemoryWatch;
use super::messages;
use super::wire::{Answer, Connection};
use crate::check::{Fault, Verdict, expect};
use crate::clients::numbered::{Numbered, Producer};
use crate::nodes::{self, Node, NodeFolder, Software};
use crate::stage::Stage;

/// ApiVersions, version 4, of a client named `beside`.
pub(super) const QUESTION: &[u8] = b"\x00\x12\x00\x04\x00\x00\x00\x07\x00\x06beside\x00\x07beside\x041.0\x00";
/// What the producer sends in a second.
const RATE: usize = 2_000;
/// Between the bystander's questions.
const PAUSE: Duration = Duration::from_millis(10);
/// For an answer, on a machine that is busy with the attack.
const PATIENCE: Duration = Duration::from_secs(20);

/// A few hundred bytes for each partition of `__consumer_offsets`, buffers, and what the attackers' connections hold.
const KLAMM_KIB_MAX: u64 = 192 << 10;
/// Its heap and what the JVM needs besides.
const KAFKA_KIB_MAX: u64 = 6 << 20;

pub(super) struct Siege<'a> {
    pub(super) stage: &'a Stage<'a>,
    folder: NodeFolder,
    node: Node,
    pub(super) memory: MemoryWatch,
    producer: Option<Producer<'a>>,
    bystander: Bystander,
    kib_max: u64,
}

impl<'a> Siege<'a> {
    /// A node with these settings, and its normal clients. The producer is left out where no Python can run it.
    pub(super) fn start(stage: &'a Stage<'a>, settings: &[(&str, &str)]) -> Verdict<Self> {
        let software =
            stage.software.ok_or_else(|| Fault::Skipped("it watches a process of its own".to_owned()))?;
        let settings = [&[("auto.create.topics.enable", "false")], settings].concat();
        let folder = NodeFolder::create(stage.scratch().join("node"), &settings)?;
        let node = software.start(&folder, stage.peers)?;
        let memory = MemoryWatch::start(node.id());
        let topic = stage.own("numbered");
        let what = Numbered {
            bootstrap: folder.address(),
            topic,
            is_idempotent: true,
            replication_factor: 1,
            rate: RATE,
        };
        let producer = match Producer::start(stage, what) {
            Err(Fault::Skipped(reason)) => {
                stage.report(format!("no producer ran beside it: {reason}"))?;
                None
            }
            started => Some(started?),
        };
        producer.iter().try_for_each(|producer| producer.wait_for(1))?;
        let bystander = Bystander::start(folder.address().to_owned());
        let kib_max = if *software == Software::Kafka { KAFKA_KIB_MAX } else { KLAMM_KIB_MAX };
        Ok(Self { stage, folder, node, memory, producer, bystander, kib_max })
    }

    pub(super) fn address(&self) -> &str {
        self.folder.address()
    }

    /// The node still serves everybody as it should, has not grown beyond bounds, and stops in order.
    pub(super) fn end(self) -> Verdict {
        let Self { stage, folder, node, memory, producer, bystander, kib_max } = self;
        if let Some(producer) = producer {
            producer.wait_for(100).map_err(|fault| explain(fault, &folder))?;
            let records = producer.finish()?;
            stage.report(format!("{records} records of the producer beside it, none lost, none twice"))?;
        }
        let (answers, slowest) = bystander.finish()?;
        let milliseconds = slowest.as_secs_f64() * 1000.0;
        stage.report(format!(
            "{answers} right answers to the client beside it, the slowest after {milliseconds:.0} ms"
        ))?;
        let mib = memory.kib_max() / 1024;
        stage.report(format!("at most {mib} MiB of memory"))?;
        expect(memory.kib_max() <= kib_max, &format!("at most {} MiB of memory", kib_max / 1024), || {
            format!("{mib} MiB")
        })?;
        node.stop().map_err(|fault| explain(fault, &folder))?;
        let log = std::fs::read_to_string(folder.log())?;
        let panic = log.lines().find(|line| line.contains("panicked at"));
        panic.map_or(Ok(()), |line| Err(Fault::failed("no panic", line)))
    }
}

/// Adds the broker's words.
fn explain(fault: Fault, folder: &NodeFolder) -> Fault {
    let Fault::Failed { expected, came } = fault else { return fault };
    Fault::failed(expected, format!("{came}\nbroker: {}", nodes::tail(&folder.log())))
}

/// Runs attackers beside one another; what each came to, in their order.
pub(super) fn in_parallel<T: Send>(
    attackers: usize,
    attack: impl Fn(u64) -> Verdict<T> + Sync,
) -> Verdict<Vec<T>> {
    let attack = &attack;
    let results: Vec<_> = thread::scope(|scope| {
        let seeds = 0..attackers as u64;
        let running: Vec<_> = seeds.map(|seed| scope.spawn(move || attack(seed))).collect();
        running.into_iter().map(|attacker| attacker.join()).collect()
    });
    let panicked = |_| Err(Fault::failed("the attackers to go on", "one panicked"));
    results.into_iter().map(|result| result.unwrap_or_else(panicked)).collect()
}

/// Asks the same question over and over, on one connection and now and then on a new one.
struct Bystander {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Result<(u64, Duration), String>>,
}

impl Bystander {
    fn start(address: String) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        Self { is_over, thread: thread::spawn(move || ask(&address, &over)) }
    }

    /// How many answers came, and how long the slowest took.
    fn finish(self) -> Verdict<(u64, Duration)> {
        self.is_over.store(true, Ordering::Relaxed);
        let result = self.thread.join().unwrap_or_else(|_| Err("its thread panicked".to_owned()));
        result.map_err(|came| Fault::failed("an answer to the client beside the attackers", came))
    }
}

/// A connection is used for this many questions.
const QUESTIONS: u64 = 50;

fn ask(address: &str, is_over: &AtomicBool) -> Result<(u64, Duration), String> {
    let (mut answers, mut slowest, mut first) = (0, Duration::ZERO, None);
    while !is_over.load(Ordering::Relaxed) {
        let mut connection = Connection::open(address, PATIENCE).map_err(|error| error.to_string())?;
        for _ in 0..QUESTIONS {
            let asked = Instant::now();
            let answer = connection.exchange(QUESTION);
            slowest = slowest.max(asked.elapsed());
            match &answer {
                Answer::Frame(frame) if messages::answers(QUESTION, frame) => answers += 1,
                other => return Err(format!("answer {answers}: {other:?}")),
            }
            if first.get_or_insert_with(|| answer_head(&answer)) != &answer_head(&answer) {
                return Err(format!("answer {answers}: {answer:?}, at first {first:?}"));
            }
            thread::sleep(PAUSE);
        }
    }
    Ok((answers, slowest))
}

/// The part of the answer that does not change while the cluster's metadata goes on: the list of APIs.
fn answer_head(answer: &Answer) -> Vec<u8> {
    match answer {
        Answer::Frame(frame) => frame[..frame.len().min(128)].to_vec(),
        _ => Vec::new(),
    }
}
