//! Keys and values of stored records as text: decoded where the file's topic says what they are.

use std::fmt::Debug;
use std::path::Path;

use clap::ValueEnum;
use klamm_protocol::DecodeError;
use klamm_protocol::control_record::ControlRecord;
use klamm_protocol::coordinator_record::{
    GroupKey, GroupValue, ShareKey, ShareValue, TransactionKey, TransactionValue,
};
use klamm_protocol::metadata_record::MetadataRecord;
use klamm_protocol::remote_log_record::RemoteLogRecord;

/// What the records of a file are.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Contents {
    /// Keys and values as text, or hexadecimal where they are none
    Plain,
    /// Groups and offsets: __consumer_offsets
    Offsets,
    /// Transactions: __transaction_state
    Transactions,
    /// Share groups: __share_group_state
    Share,
    /// Cluster metadata: __cluster_metadata and .checkpoint files
    Metadata,
    /// Tiered segments: __remote_log_metadata
    Remote,
}

impl Contents {
    /// Judged by the name of the file and of the folder it is in.
    pub(crate) fn of_file(path: &Path) -> Self {
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let is_snapshot = path.extension().is_some_and(|extension| extension == "checkpoint");
        let topics = [
            ("__consumer_offsets-", Self::Offsets),
            ("__transaction_state-", Self::Transactions),
            ("__share_group_state-", Self::Share),
            ("__cluster_metadata-", Self::Metadata),
            ("__remote_log_metadata-", Self::Remote),
        ];
        let by_folder = topics.into_iter().find(|(prefix, _)| folder.starts_with(prefix));
        match by_folder {
            Some((_, contents)) => contents,
            None if is_snapshot => Self::Metadata,
            None => Self::Plain,
        }
    }

    /// The record on one line: `key K  value V`, or the decoded record.
    pub(crate) fn describe(self, key: Option<&[u8]>, value: Option<&[u8]>) -> String {
        let decoded = match self {
            Self::Plain => None,
            Self::Offsets => pair(key, value, GroupKey::decode, GroupValue::decode),
            Self::Transactions => pair(key, value, TransactionKey::decode, TransactionValue::decode),
            Self::Share => pair(key, value, ShareKey::decode, ShareValue::decode),
            Self::Metadata => {
                value.and_then(|value| MetadataRecord::decode(value).ok()).map(|record| inner(&record))
            }
            Self::Remote => {
                value.and_then(|value| RemoteLogRecord::decode(value).ok()).map(|record| inner(&record))
            }
        };
        decoded.unwrap_or_else(|| format!("key {}  value {}", plain(key), plain(value)))
    }
}

/// Key and value of a coordinator's record; `None` where either cannot be read as one.
fn pair<'a, K: Debug, V: Debug>(
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    decode_key: impl FnOnce(&'a [u8]) -> Result<K, DecodeError>,
    decode_value: impl FnOnce(i16, &'a [u8]) -> Result<V, DecodeError>,
) -> Option<String> {
    let key_bytes = key?;
    let number = i16::from_be_bytes(*key_bytes.first_chunk()?);
    let key = decode_key(key_bytes).ok()?;
    let value = match value {
        None => "tombstone".to_owned(),
        Some(value) => inner(&decode_value(number, value).ok()?),
    };
    Some(format!("{} => {value}", inner(&key)))
}

/// A control record: what it is, or its bytes where that is not known.
pub(crate) fn describe_control(key: Option<&[u8]>, value: Option<&[u8]>) -> String {
    match ControlRecord::decode(key.unwrap_or_default(), value.unwrap_or_default()) {
        Ok(record) => format!("{record:?}"),
        Err(_) => format!("key {}  value {}", plain(key), plain(value)),
    }
}

/// The record inside an enum's variant: `Topic(TopicRecord { … })` without `Topic( )`.
fn inner(variant: &impl Debug) -> String {
    let text = format!("{variant:?}");
    let unwrapped = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).map(str::to_owned);
    unwrapped.unwrap_or(text)
}

/// Text in quotes, anything else in hexadecimal.
pub(crate) fn plain(bytes: Option<&[u8]>) -> String {
    match bytes.map(|bytes| (bytes, str::from_utf8(bytes))) {
        None => "null".to_owned(),
        Some((_, Ok(text))) => format!("{text:?}"),
        Some((bytes, Err(_))) => bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_says_what_the_records_are() {
        let table = [
            ("/d/__consumer_offsets-7/00000000000000000000.log", Contents::Offsets),
            ("__cluster_metadata-0/00000000000000000000.log", Contents::Metadata),
            ("/tmp/00000000000000000289-0000000001.checkpoint", Contents::Metadata),
            ("/d/orders-0/00000000000000000000.log", Contents::Plain),
            ("00000000000000000000.log", Contents::Plain),
        ];
        for (path, contents) in table {
            assert_eq!(Contents::of_file(Path::new(path)), contents, "{path}");
        }
    }

    #[test]
    fn plain_bytes() {
        let table: &[(Option<&[u8]>, &str)] = &[
            (None, "null"),
            (Some(b""), "\"\""),
            (Some(b"a\n\""), "\"a\\n\\\"\""),
            (Some(b"\xff\x00"), "0xff00"),
        ];
        for (bytes, text) in table {
            assert_eq!(plain(*bytes), *text);
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_shown_as_it_is() {
        assert_eq!(Contents::Offsets.describe(Some(b"k"), Some(b"v")), "key \"k\"  value \"v\"");
        assert_eq!(Contents::Metadata.describe(None, Some(b"\x01")), "key null  value \"\\u{1}\"");
        assert_eq!(describe_control(None, None), "key null  value null");
    }
}
