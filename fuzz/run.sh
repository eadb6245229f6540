#!/bin/sh
# Runs a fuzz target: run.sh TARGET [SECONDS] [libFuzzer options]
# Inputs that were found go to corpus/TARGET, failures to artifacts/TARGET.
# Works with the stable compiler; cargo-fuzz is not needed.
set -eu
cd "$(dirname "$0")"
target=$1
seconds=${2:-60}
shift; [ $# -eq 0 ] || shift

host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code"
RUSTFLAGS="--cfg fuzzing $coverage" cargo build --quiet --release --locked --target "$host" --features libfuzzer --bin "$target"

built=${CARGO_TARGET_DIR:-target}/$host/release
mkdir -p "corpus/$target" "artifacts/$target"
cargo run --quiet --locked --bin seed -- corpus
# No input is longer than 64 KiB, so no single allocation has a reason to pass 4 MiB.
exec "$built/$target" -max_total_time="$seconds" -max_len=65536 -malloc_limit_mb=4 \
    -rss_limit_mb=512 -timeout=5 -artifact_prefix="artifacts/$target/" "$@" "corpus/$target"
