//! Peers that send what no client sends, or do not behave: each is answered with Kafka's error or cut off, memory stays
//! bounded, and everybody else is served as if nothing were.

mod batches;
mod frames;
mod running;
mod slow_peers;
