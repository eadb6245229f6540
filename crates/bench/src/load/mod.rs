//! Load on a broker: closed loops that keep it busy, and open loops that keep to a timetable whatever it does.

mod closed_loop;
mod open_loop;
mod probe;
mod producers;
mod readers;
mod tail;

pub(crate) use closed_loop::{Phase, Reading, Tally};
pub(crate) use open_loop::{Lane, Latencies, OpenLoop, Timetable};
pub(crate) use probe::{Probe, Probes};
pub(crate) use producers::{ProduceLoad, fill};
pub(crate) use readers::FetchLoad;
pub(crate) use tail::follow;
