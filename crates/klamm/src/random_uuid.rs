//! `klamm random-uuid`: an id for a cluster or a directory.

use clap::Args;
use klamm_broker::environment::{Random, SystemRandom};
use klamm_protocol::Uuid;

use crate::failure::Failure;
use crate::output::Output;

/// Print a random id, for a new cluster or an initial controller's directory
#[derive(Args, Debug)]
pub(crate) struct RandomUuid {}

impl RandomUuid {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut output = Output::stdout();
        output.line(random_uuid().to_string())?;
        output.flush()
    }
}

/// An id that nobody else has. A leading dash is avoided: on a command line it would look like an option.
pub(crate) fn random_uuid() -> Uuid {
    let draws = std::iter::repeat_with(|| Uuid::from_u128(SystemRandom.next_u128()));
    let mut fit = draws.filter(|id| *id != Uuid::ZERO && !id.to_string().starts_with('-'));
    fit.next().unwrap_or_default()
}
