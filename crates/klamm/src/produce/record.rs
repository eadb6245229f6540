//! A record as it was read from the input, before it has an offset.

/// What one line (or file, or JSON object) of input asks to be produced.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NewRecord {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<Header>,
    /// The partition the input names; otherwise the partitioner decides.
    pub(crate) partition: Option<i32>,
    /// Create time in milliseconds since 1970; otherwise the time of sending.
    pub(crate) timestamp_ms: Option<i64>,
}

/// Names of headers may repeat, and their order counts.
pub(crate) type Header = (String, Option<Vec<u8>>);

/// What every record gets that the input leaves open.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Defaults {
    pub(crate) key: Option<Vec<u8>>,
    /// These come before the input's.
    pub(crate) headers: Vec<Header>,
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp_ms: Option<i64>,
}

impl Defaults {
    pub(crate) fn complete(&self, mut record: NewRecord) -> NewRecord {
        record.key = record.key.or_else(|| self.key.clone());
        record.headers.splice(0..0, self.headers.iter().cloned());
        record.partition = record.partition.or(self.partition);
        record.timestamp_ms = record.timestamp_ms.or(self.timestamp_ms);
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_counts_over_defaults() {
        let header = |name: &str| (name.to_owned(), None);
        let defaults = Defaults {
            key: Some(b"k".to_vec()),
            headers: vec![header("a")],
            partition: Some(1),
            timestamp_ms: Some(2),
        };
        let full = NewRecord {
            key: Some(b"own".to_vec()),
            value: None,
            headers: vec![header("b")],
            partition: Some(3),
            timestamp_ms: Some(4),
        };
        let completed = defaults.complete(full.clone());
        assert_eq!(completed, NewRecord { headers: vec![header("a"), header("b")], ..full });
        let completed = defaults.complete(NewRecord::default());
        assert_eq!(
            (completed.key, completed.partition, completed.timestamp_ms),
            (Some(b"k".to_vec()), Some(1), Some(2))
        );
    }
}
