//! A shard from outside: requests, time and a log in; answers and records out.

mod driver;
mod flow_text;
mod flows;
mod interleavings;
mod kafka_exchanges;
mod kafka_logs;
mod offsets;
