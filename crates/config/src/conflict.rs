//! Values that are fine alone and do not go together.

/// What does not go together, for whoever wrote the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Conflict {
    message: String,
}

impl Conflict {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// Fails with the message unless the condition holds.
pub(crate) fn require(holds: bool, message: impl FnOnce() -> String) -> Result<(), Conflict> {
    if holds { Ok(()) } else { Err(Conflict::new(message())) }
}
