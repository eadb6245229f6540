//! Why a request, or a part of one, is refused.

use std::borrow::Cow;

use klamm_protocol::ErrorCode;

/// An error code for the client, and what is wrong in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code that clients act on.
    pub code: ErrorCode,
    /// What people read.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The message as a response carries it.
    pub(crate) fn text(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Owned(self.message.clone()))
    }
}

/// Code and message of a result, as most responses carry them.
pub(crate) fn error_fields<T>(result: &Result<T, Refusal>) -> (ErrorCode, Option<Cow<'static, str>>) {
    match result {
        Ok(_) => (ErrorCode::NONE, None),
        Err(refusal) => (refusal.code, refusal.text()),
    }
}

/// The same for responses that carry an empty message where Kafka has nothing to say.
pub(crate) fn error_fields_or_empty<T>(
    result: &Result<T, Refusal>,
) -> (ErrorCode, Option<Cow<'static, str>>) {
    let (code, message) = error_fields(result);
    (code, message.or(Some(Cow::Borrowed(""))))
}
