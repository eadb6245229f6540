//! Apache Kafka's own command-line tools, with a check of what each prints.

use crate::check::{Check, Needs, Verdict};
use crate::stage::Stage;

mod cluster;
mod configs;
mod console;
mod groups;
mod offsets;
mod on_three;
mod performance;
mod topics;
mod verifiable;

/// All of them.
pub(crate) fn checks() -> Vec<Check> {
    let sets = [
        cluster::CHECKS,
        topics::CHECKS,
        configs::CHECKS,
        console::CHECKS,
        offsets::CHECKS,
        groups::CHECKS,
        verifiable::CHECKS,
        on_three::CHECKS,
        performance::CHECKS,
    ];
    sets.concat()
}

const fn check(name: &'static str, run: fn(&Stage<'_>) -> Verdict) -> Check {
    Check::new("kafka-tools", name, Needs::Broker, run)
}

/// Creates a topic.
fn create(stage: &Stage<'_>, topic: &str, partitions: usize) -> Verdict {
    let args = format!("--create --topic {topic} --partitions {partitions} --replication-factor 1");
    stage.admin("TopicCommand", &args).map(drop)
}

/// Produces each line as a record, in one batch for each partition if it fits.
fn produce(stage: &Stage<'_>, topic: &str, lines: &str) -> Verdict {
    console_producer(stage, &format!("--topic {topic}"), lines)
}

fn console_producer(stage: &Stage<'_>, args: &str, lines: &str) -> Verdict {
    let args = format!("--bootstrap-server {} {args}", stage.bootstrap);
    stage.tool_reading("ConsoleProducer", &args, lines).map(drop)
}

/// What the console consumer prints, with a time limit for what does not come.
fn console_consumer(stage: &Stage<'_>, args: &str) -> Verdict<String> {
    stage.admin("consumer.ConsoleConsumer", &format!("--timeout-ms 20000 {args}"))
}
