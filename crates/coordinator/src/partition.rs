//! Which partition of `__consumer_offsets` coordinates a group.

/// The partition of `__consumer_offsets` that holds everything about `group_id`.
///
/// Kafka takes the absolute value of Java's `String.hashCode` (over UTF-16 units) modulo the number of partitions;
/// the one hash without an absolute value counts as 0. Every broker and every tool must agree on it, so it never
/// changes. `partition_count` must be positive.
#[must_use]
pub fn partition_for(group_id: &str, partition_count: i32) -> i32 {
    debug_assert!(partition_count > 0, "a topic has at least one partition");
    java_hash_code(group_id).checked_abs().unwrap_or(0) % partition_count
}

fn java_hash_code(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_like_java() {
        let cases = [
            ("", 0),
            ("a", 97),
            ("golden", -1_240_337_143),
            ("consumer-group", -1_738_392_088),
            ("müller", -938_338_084),
            // Outside the basic plane a character is two UTF-16 units.
            ("\u{1F600}", 1_772_899),
            // The smallest integer has no absolute value.
            ("polygenelubricants", i32::MIN),
        ];
        for (text, hash) in cases {
            assert_eq!(java_hash_code(text), hash, "{text}");
        }
    }

    #[test]
    fn agrees_with_where_kafka_put_its_groups() {
        // From a real `__consumer_offsets` of two partitions.
        for (group, partition) in [("join-1", 0), ("join-0", 1), ("java-share", 0), ("tx-group", 0)] {
            assert_eq!(partition_for(group, 2), partition, "{group}");
        }
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(partition_for("a", 50), 47);
    }
}
