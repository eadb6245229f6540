//! A consumed record as the output formats see it.

use std::borrow::Cow;

/// Who set a record's timestamp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TimestampSource {
    Create,
    LogAppend,
}

/// One record and where it stands; borrows from the fetched batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Consumed<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Milliseconds since 1970, −1 where the record has none.
    pub(crate) timestamp_ms: i64,
    pub(crate) timestamp_source: TimestampSource,
    /// Names that are no UTF-8 have U+FFFD for what is not.
    pub(crate) headers: Vec<(Cow<'a, str>, Option<&'a [u8]>)>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
}
