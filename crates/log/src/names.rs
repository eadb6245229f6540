//! Names of files and folders, as Kafka gives them.

use std::fmt;

/// A topic's partition; shown as the name of its folder, `topic-partition`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }

    /// Reads `topic-partition`; `None` where there is no number behind a last hyphen or no topic before it.
    pub fn parse(name: &str) -> Option<Self> {
        let (topic, partition) = name.rsplit_once('-')?;
        if topic.is_empty() || partition.is_empty() || !partition.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(Self::new(topic, partition.parse().ok()?))
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What a partition's folder is for, told by its suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderKind {
    /// The replica itself: no suffix.
    Current,
    /// Being filled to replace the replica in another log directory: `-future`.
    Future,
    /// Waiting for its removal: `-delete`.
    Deleted,
    /// Found on start without a topic in the metadata: `-stray`.
    Stray,
}

impl FolderKind {
    fn suffix(self) -> &'static str {
        match self {
            Self::Current => "",
            Self::Future => "-future",
            Self::Deleted => "-delete",
            Self::Stray => "-stray",
        }
    }
}

/// The name of a partition's folder. `unique` tells folders of the same partition apart; [`FolderKind::Current`] has none.
pub fn folder_name(partition: &TopicPartition, kind: FolderKind, unique: u128) -> String {
    if kind == FolderKind::Current {
        return partition.to_string();
    }
    let tail = format!("-{}.{unique:032x}{}", partition.partition, kind.suffix());
    // A name may have 255 bytes, which a long topic would exceed with the suffix.
    let topic = &partition.topic[..partition.topic.len().min(255 - tail.len())];
    format!("{topic}{tail}")
}

/// The partition and the kind that a folder's name stands for; `None` when it is no partition's folder.
pub fn parse_folder_name(name: &str) -> Option<(TopicPartition, FolderKind)> {
    for kind in [FolderKind::Future, FolderKind::Deleted, FolderKind::Stray] {
        if let Some(rest) = name.strip_suffix(kind.suffix())
            && let Some((partition, _unique)) = rest.rsplit_once('.')
        {
            return Some((TopicPartition::parse(partition)?, kind));
        }
    }
    Some((TopicPartition::parse(name)?, FolderKind::Current))
}

/// A file that belongs to a segment, or a producer snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// Record batches.
    Log,
    /// Offset to position.
    OffsetIndex,
    /// Timestamp to offset.
    TimeIndex,
    /// Aborted transactions.
    TransactionIndex,
    /// Producer state at the offset in the name.
    Snapshot,
}

impl FileKind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TransactionIndex, Self::Snapshot];

    /// The name's end, with its dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::OffsetIndex => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TransactionIndex => ".txnindex",
            Self::Snapshot => ".snapshot",
        }
    }
}

/// Behind a file that waits for its removal.
pub(crate) const DELETED_SUFFIX: &str = ".deleted";
/// Behind a file that compaction is writing.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
/// Behind a file that compaction has finished and that replaces those it was made from.
pub(crate) const SWAP_SUFFIX: &str = ".swap";

/// The name of the file of this kind at this offset.
pub fn file_name(offset: i64, kind: FileKind) -> String {
    format!("{offset:020}{}", kind.extension())
}

/// The offset and kind that a file's name stands for, and the suffix behind it, empty for a file in use.
pub fn parse_file_name(name: &str) -> Option<(i64, FileKind, &str)> {
    let (digits, rest) = name.split_at_checked(20)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let offset = digits.parse().ok()?;
    let (end, kind) =
        FileKind::ALL.into_iter().find_map(|kind| Some((rest.strip_prefix(kind.extension())?, kind)))?;
    matches!(end, "" | DELETED_SUFFIX | CLEANED_SUFFIX | SWAP_SUFFIX).then_some((offset, kind, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_and_read_as_kafka_does() {
        let partition = TopicPartition::new("a-b.c", 7);
        assert_eq!(folder_name(&partition, FolderKind::Current, 0), "a-b.c-7");
        for kind in [FolderKind::Current, FolderKind::Future, FolderKind::Deleted, FolderKind::Stray] {
            let name = folder_name(&partition, kind, 0xabc);
            assert_eq!(parse_folder_name(&name), Some((partition.clone(), kind)), "{name}");
        }
        let long = TopicPartition::new("t".repeat(249), 1);
        assert_eq!(folder_name(&long, FolderKind::Deleted, 1).len(), 255);
        for other in ["", "topic", "-1", "topic-", "topic-x", "topic-+1", "lost+found"] {
            assert_eq!(parse_folder_name(other), None, "{other}");
        }
    }

    #[test]
    fn files_are_named_by_twenty_digits() {
        assert_eq!(file_name(42, FileKind::TimeIndex), "00000000000000000042.timeindex");
        for kind in FileKind::ALL {
            assert_eq!(parse_file_name(&file_name(7, kind)), Some((7, kind, "")));
        }
        let deleted = "00000000000000000001.log.deleted";
        assert_eq!(parse_file_name(deleted), Some((1, FileKind::Log, DELETED_SUFFIX)));
        for other in
            ["1.log", "0000000000000000000x.log", "99999999999999999999.log", "leader-epoch-checkpoint"]
        {
            assert_eq!(parse_file_name(other), None, "{other}");
        }
    }
}
