//! confluent-kafka from Python: a librdkafka of today.

use super::python;
use crate::check::{Check, Needs, Verdict};
use crate::stage::Stage;

pub(crate) const CHECKS: &[Check] = &[
    check("codec-none", |stage| round_trip(stage, "none", false)),
    check("codec-gzip", |stage| round_trip(stage, "gzip", false)),
    check("codec-snappy", |stage| round_trip(stage, "snappy", false)),
    check("codec-lz4", |stage| round_trip(stage, "lz4", false)),
    check("codec-zstd", |stage| round_trip(stage, "zstd", false)),
    check("idempotent-producer", |stage| round_trip(stage, "lz4", true)),
    check("admin-client", admin_client),
    check("group-of-three-one-killed", group_of_three),
];

const fn check(name: &'static str, run: fn(&Stage<'_>) -> Verdict) -> Check {
    Check::new("confluent-kafka", name, Needs::Broker, run)
}

/// Records with keys, headers, nulls and times, over three partitions, equal and in order when they come back.
fn round_trip(stage: &Stage<'_>, codec: &str, is_idempotent: bool) -> Verdict {
    let count = stage.records(50_000, 1_000_000).to_string();
    let args = [stage.bootstrap, &stage.own("records"), codec, &count, &is_idempotent.to_string()];
    python::run(stage, "round_trip.py", include_str!("round_trip.py"), &args).map(drop)
}

fn admin_client(stage: &Stage<'_>) -> Verdict {
    let args = [stage.bootstrap, &stage.own("topic"), &stage.own("group")];
    python::run(stage, "admin.py", include_str!("admin.py"), &args).map(drop)
}

/// All records are consumed by the rest, and nothing that was committed a second time.
fn group_of_three(stage: &Stage<'_>) -> Verdict {
    let args = [stage.bootstrap, &stage.own("topic"), &stage.own("group"), "3000"];
    python::run(stage, "group.py", include_str!("group.py"), &args).map(drop)
}
