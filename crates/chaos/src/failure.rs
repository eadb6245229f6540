//! Why a run could not be carried out. What the cluster did wrong is a finding, not a failure.

/// The end of a run that was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A process signal could not be sent.
    #[error("cannot signal a node: {0}")]
    Signal(#[from] rustix::io::Errno),
    /// The cluster did not answer.
    #[error(transparent)]
    Admin(#[from] klamm_client::AdminError),
    /// A client was configured wrongly.
    #[error(transparent)]
    Config(#[from] klamm_client::ConfigError),
    /// Everything else.
    #[error("{0}")]
    Other(String),
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self::Other(what.into())
    }
}
