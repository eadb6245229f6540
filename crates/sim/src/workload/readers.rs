//! Consumers without a group: they read everything, from the beginning or from anywhere, again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use klamm_client::{Consumer, ConsumerConfig, Event, StartAt, TopicPartition};

use super::{Workload, common, partitions};
use crate::check::Reading;
use crate::shape::Shape;

/// Reads until the workload stops.
pub(super) async fn run(workload: Workload) {
    while !workload.is_stopping() {
        let name = workload.name("reader");
        let Some(consumer) = open(&workload, &name) else { return };
        let events = workload.dice.within(5..120);
        let mut reader = Reader::new(&workload, name, consumer);
        reader.assign();
        for _ in 0..events {
            if workload.is_stopping() || !reader.is_of_this_era() {
                break;
            }
            reader.next(Duration::from_millis(500)).await;
        }
        workload.pause(300).await;
    }
}

/// Reads all partitions from their beginning to their end. Returns false when that takes too long.
pub(crate) async fn audit(workload: &Workload) -> bool {
    let name = workload.name("auditor");
    let Some(consumer) = open(workload, &name) else { return false };
    let mut reader = Reader::new(workload, name, consumer);
    reader.assign_all();
    let audit = async {
        while reader.ends.len() < partitions().len() {
            reader.next(Duration::from_secs(5)).await;
        }
    };
    let is_done = tokio::time::timeout(Duration::from_secs(60), audit).await.is_ok();
    for (partition, end) in &reader.ends {
        workload.checks.read_to_end(partition, *end);
    }
    is_done
}

fn open(workload: &Workload, name: &str) -> Option<Consumer> {
    let mut settings = common(workload, name);
    settings.extend([
        ("auto.offset.reset", "earliest".to_owned()),
        ("enable.partition.eof", "true".to_owned()),
        ("max.partition.fetch.bytes", workload.dice.pick(&["500", "4000", "1048576"]).to_string()),
    ]);
    let config =
        ConsumerConfig::from_properties(settings.iter().map(|(name, value)| (*name, value.as_str())));
    let opened = config.and_then(|config| Consumer::with_network(config, workload.network(name)));
    opened.map_err(|error| workload.trace.violation(format_args!("{name}: {error}"))).ok()
}

struct Reader<'w> {
    workload: &'w Workload,
    name: String,
    consumer: Consumer,
    era: u32,
    readings: BTreeMap<TopicPartition, Reading>,
    ends: BTreeMap<TopicPartition, i64>,
}

impl<'w> Reader<'w> {
    fn new(workload: &'w Workload, name: String, consumer: Consumer) -> Self {
        let era = workload.checks.era();
        Self { workload, name, consumer, era, readings: BTreeMap::new(), ends: BTreeMap::new() }
    }

    fn is_of_this_era(&self) -> bool {
        self.era == self.workload.checks.era()
    }

    /// Reads some partitions, each from the beginning or from somewhere in the middle.
    fn assign(&mut self) {
        let Workload { dice, checks, .. } = self.workload;
        let mut wanted = Vec::new();
        for partition in partitions() {
            let somewhere = checks.some_offset(&partition, dice.next()).filter(|_| dice.percent(60));
            let mut reading = checks.reading(&partition, somewhere);
            // Who does not know in which epoch a record was written may ask a leader of an earlier one, who does not have it.
            reading.may_begin_again = somewhere.is_some() && self.workload.shape != Shape::One;
            self.readings.insert(partition.clone(), reading);
            wanted.push((partition, somewhere.map_or(StartAt::Earliest, StartAt::Offset)));
        }
        let _ = self.consumer.assign(wanted);
    }

    /// Reads all partitions from the beginning.
    fn assign_all(&mut self) {
        for partition in partitions() {
            self.readings.insert(partition.clone(), self.workload.checks.reading(&partition, None));
        }
        let _ =
            self.consumer.assign(partitions().into_iter().map(|partition| (partition, StartAt::Earliest)));
    }

    async fn next(&mut self, patience: Duration) {
        match tokio::time::timeout(patience, self.consumer.next()).await {
            Ok(Ok(event)) => self.take(event),
            Ok(Err(error)) => self.workload.trace.violation(format_args!("{}: {error}", self.name)),
            Err(_) => {}
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Records(records) => {
                let partition = records.partition().clone();
                let Some(reading) = self.readings.get_mut(&partition) else { return };
                for record in &records {
                    match record {
                        Ok(record) => {
                            let value = record.value.unwrap_or_default();
                            self.workload.checks.seen(reading, &self.name, &partition, record.offset, value);
                        }
                        Err(error) => {
                            self.workload
                                .trace
                                .violation(format_args!("{} at {partition}: {error}", self.name));
                        }
                    }
                }
                let next = records.next_offset();
                self.workload.trace.note(format_args!("{} is at {partition} {next}", self.name));
            }
            Event::EndOfPartition { partition, offset } => {
                self.ends.insert(partition, offset);
            }
            Event::Assigned(_) | Event::Revoked(_) | Event::Lost(_) => {}
        }
    }
}
