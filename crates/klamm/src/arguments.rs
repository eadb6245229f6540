//! Arguments that several commands take in the same form.

/// `key=value`; the value may be empty and may hold more `=`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("expected name=value".to_owned()),
    }
}

/// A topic with, optionally, some of its partitions: `orders` or `orders:0,2-4`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicPartitions {
    pub(crate) topic: String,
    /// Empty: all of them.
    pub(crate) partitions: Vec<i32>,
}

impl TopicPartitions {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (topic, partitions) = match text.split_once(':') {
            Some((topic, list)) => (topic, partition_list(list)?),
            None => (text, Vec::new()),
        };
        if topic.is_empty() {
            return Err("expected a topic, or topic:partition,partition".to_owned());
        }
        Ok(Self { topic: topic.to_owned(), partitions })
    }
}

/// Numbers and ranges of partitions separated by commas, as `0,2-4`; in order, each once.
pub(crate) fn partition_list(text: &str) -> Result<Vec<i32>, String> {
    let ranges: Vec<_> = text.split(',').map(partition_range).collect::<Result<_, _>>()?;
    let mut partitions: Vec<i32> = ranges.into_iter().flatten().collect();
    partitions.sort_unstable();
    partitions.dedup();
    Ok(partitions)
}

/// More partitions than any topic has; keeps a slip of the finger from filling the memory.
const RANGE_MAX: i32 = 100_000;

fn partition_range(text: &str) -> Result<std::ops::RangeInclusive<i32>, String> {
    let number = |text: &str| text.parse::<i32>().ok().filter(|number| (0..RANGE_MAX).contains(number));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(format!("'{text}' is no partition: expected numbers and ranges, as 0,2-4")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values() {
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(key_value("a=b"), pair("a", "b"));
        assert_eq!(key_value("a = b=c"), pair("a", "b=c"));
        assert_eq!(key_value("a="), pair("a", ""));
        for text in ["", "a", "=b", " =b"] {
            assert!(key_value(text).is_err(), "{text}");
        }
    }

    #[test]
    fn topics_with_partitions() {
        let table: &[(&str, &str, &[i32])] = &[
            ("t", "t", &[]),
            ("t:0", "t", &[0]),
            ("t:3,1,3", "t", &[1, 3]),
            ("t:0,2-4", "t", &[0, 2, 3, 4]),
        ];
        for (text, topic, partitions) in table {
            let expected = TopicPartitions { topic: (*topic).to_owned(), partitions: partitions.to_vec() };
            assert_eq!(TopicPartitions::parse(text), Ok(expected), "{text}");
        }
        for text in ["", ":0", "t:", "t:a", "t:-1", "t:2-1", "t:0,", "t:0-99999999999", "t:0-2000000000"] {
            assert!(TopicPartitions::parse(text).is_err(), "{text}");
        }
    }
}
