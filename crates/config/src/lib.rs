//! Kafka's settings.
