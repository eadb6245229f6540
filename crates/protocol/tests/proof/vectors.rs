//! `golden/messages`: every version of every message, by Kafka's own serializers.

use std::collections::BTreeSet;

use crate::{codecs::Codec, golden};

#[test]
fn every_vector_round_trips() {
    let vectors = golden::vectors();
    for vector in &vectors {
        Codec::of(&vector.name).assert_round_trip(&vector.bytes, vector.version);
    }
    assert_eq!(vectors.len(), 2132);
}

#[test]
fn every_version_of_every_message_has_a_vector() {
    let seen: BTreeSet<_> = golden::vectors().into_iter().map(|v| (v.name, v.version)).collect();
    for codec in Codec::all() {
        for version in codec.versions.min..=codec.versions.max {
            assert!(seen.contains(&(codec.name.to_owned(), version)), "{} {version}", codec.name);
        }
    }
    assert_eq!(seen.len(), 744);
}

/// A fresh message is Kafka's fresh message. Where Kafka has no line for it, it cannot be written, or
/// repeats the line before.
#[test]
fn defaults_are_kafkas() {
    let vectors = golden::vectors();
    for of_version in vectors.chunk_by(|a, b| (&a.name, a.version) == (&b.name, b.version)) {
        let last = of_version.last().expect("chunks are not empty");
        match (Codec::of(&last.name).encode_default)(last.version) {
            Ok(bytes) => assert_eq!(bytes, last.bytes, "{} {}", last.name, last.version),
            Err(error) => assert_ne!(last.kind, "default", "{error}"),
        }
    }
}
