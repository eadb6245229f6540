//! The checks, by client.

use crate::check::Check;

mod confluent;
mod folders;
mod franz_go;
mod hostile;
mod kafka_tools;
mod kcat;
mod mixed;
mod numbered;
mod python;
mod rust_crates;
mod sigkill;

/// All of them, in the order of the scorecard.
pub(crate) fn all() -> Vec<Check> {
    [
        kcat::CHECKS,
        &kafka_tools::checks(),
        confluent::CHECKS,
        franz_go::CHECKS,
        rust_crates::CHECKS,
        folders::CHECKS,
        sigkill::CHECKS,
        hostile::CHECKS,
        mixed::CHECKS,
    ]
    .concat()
}
