//! The checks, by client.

use crate::check::Check;

mod confluent;
mod folders;
mod franz_go;
mod kafka_tools;
mod kcat;
mod python;
mod sigkill;

/// All of them, in the order of the scorecard.
pub(crate) fn all() -> Vec<Check> {
    [
        kcat::CHECKS,
        &kafka_tools::checks(),
        confluent::CHECKS,
        franz_go::CHECKS,
        folders::CHECKS,
        sigkill::CHECKS,
    ]
    .concat()
}
