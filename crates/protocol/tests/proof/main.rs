//! Proof against the bytes of Apache Kafka 4.4: what it sent, answered and wrote, in every version of every
//! message, decodes to the last byte and encodes back to the same bytes; and what nobody sends does no harm.

mod codecs;
mod exchanges;
mod golden;
mod hostile;
mod stored_records;
mod vectors;
