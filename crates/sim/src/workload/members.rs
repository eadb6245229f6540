//! Consumers in groups: they join, read, commit, leave, and sometimes vanish.

use std::collections::BTreeMap;
use std::time::Duration;

use klamm_client::{Consumer, ConsumerConfig, Event, Records, TopicPartition};

use super::{TOPICS, Workload, common};
use crate::check::Reading;

/// One member after the other, until the workload stops.
pub(super) async fn run(workload: Workload, group: &'static str) {
    while !workload.is_stopping() {
        let name = workload.name(group);
        let Some(consumer) = open(&workload, &name, group) else { return };
        if let Err(error) = consumer.subscribe(TOPICS) {
            return workload.trace.violation(format_args!("{name}: {error}"));
        }
        let events = workload.dice.within(10..200);
        let era = workload.checks.era();
        let mut member =
            Member { workload: &workload, name, group, consumer, era, readings: BTreeMap::new() };
        for _ in 0..events {
            if workload.is_stopping() || member.era != workload.checks.era() {
                break;
            }
            member.next().await;
        }
        if workload.dice.percent(70) {
            let closed = tokio::time::timeout(Duration::from_secs(10), member.consumer.close()).await;
            workload.trace.note(format_args!("{} leaves: {}", member.name, closed.is_ok()));
        }
        workload.pause(1000).await;
    }
}

fn open(workload: &Workload, name: &str, group: &str) -> Option<Consumer> {
    let dice = &workload.dice;
    let mut settings = common(workload, name);
    settings.extend([
        ("group.id", group.to_owned()),
        ("auto.offset.reset", "earliest".to_owned()),
        ("session.timeout.ms", "6000".to_owned()),
        ("heartbeat.interval.ms", "500".to_owned()),
        ("max.poll.interval.ms", "8000".to_owned()),
        ("enable.auto.commit", dice.percent(50).to_string()),
        ("auto.commit.interval.ms", "700".to_owned()),
    ]);
    let strategy = if group == "group-a" { "range" } else { "cooperative-sticky" };
    settings.push(("partition.assignment.strategy", strategy.to_owned()));
    let config =
        ConsumerConfig::from_properties(settings.iter().map(|(name, value)| (*name, value.as_str())));
    let opened = config.and_then(|config| Consumer::with_network(config, workload.network(name)));
    opened.map_err(|error| workload.trace.violation(format_args!("{name}: {error}"))).ok()
}

struct Member<'w> {
    workload: &'w Workload,
    name: String,
    group: &'static str,
    consumer: Consumer,
    era: u32,
    readings: BTreeMap<TopicPartition, Reading>,
}

impl Member<'_> {
    async fn next(&mut self) {
        match tokio::time::timeout(Duration::from_millis(400), self.consumer.next()).await {
            Ok(Ok(Event::Records(records))) => self.read(&records),
            Ok(Ok(Event::Assigned(partitions))) => {
                self.workload.trace.note(format_args!("{} gets {}", self.name, list(&partitions)));
                self.readings.retain(|partition, _| !partitions.contains(partition));
            }
            Ok(Ok(Event::Revoked(partitions) | Event::Lost(partitions))) => {
                self.workload.trace.note(format_args!("{} loses {}", self.name, list(&partitions)));
                self.readings.retain(|partition, _| !partitions.contains(partition));
            }
            Ok(Ok(Event::EndOfPartition { .. })) | Err(_) => {}
            Ok(Err(error)) => self.workload.trace.note(format_args!("{}: {error}", self.name)),
        }
        if self.workload.dice.percent(10) {
            let committed =
                self.consumer.commit().await.map_or_else(|error| error.to_string(), |()| "done".into());
            self.workload.trace.note(format_args!("{} commits: {committed}", self.name));
        }
    }

    fn read(&mut self, records: &Records) {
        let partition = records.partition();
        let Workload { checks, trace, .. } = self.workload;
        for record in records {
            let Ok(record) = record else {
                return trace.violation(format_args!("{} at {partition}: unreadable", self.name));
            };
            if !self.readings.contains_key(partition) {
                checks.starts_at(self.group, partition, record.offset, self.era);
                let reading = Reading { era: self.era, from: 0, ..checks.reading(partition, None) };
                self.readings.insert(partition.clone(), reading);
            }
            if let Some(reading) = self.readings.get_mut(partition) {
                checks.seen(reading, &self.name, partition, record.offset, record.value.unwrap_or_default());
            }
        }
        trace.note(format_args!("{} is at {partition} {}", self.name, records.next_offset()));
    }
}

fn list(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
