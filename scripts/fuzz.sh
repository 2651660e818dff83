#!/bin/sh
# Fuzzes each target of `fuzz/` for so long: fuzz.sh SECONDS [TARGET...]. What it learns on the way goes to the build folder;
# what is kept in `fuzz/corpus` is where it begins. A crash leaves its input in `fuzz/artifacts` and ends the script.
#
# libFuzzer as `cargo fuzz` uses it, but with the compiler that builds everything else here: without sanitizers none of the
# flags is unstable, and this code has no `unsafe` that they could watch.
set -eu
seconds=$1
shift
root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
[ $# -gt 0 ] || set -- segment xml zip ndjson

RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1 --cfg fuzzing" \
  CARGO_TARGET_DIR="$target" "${CARGO:-cargo}" build --release --locked --quiet --manifest-path "$root/fuzz/Cargo.toml" --target "$host"

for name in "$@"; do
  found=$target/found/$name
  mkdir -p "$found" "$root/fuzz/artifacts/$name"
  # Longer inputs than this find nothing that shorter ones do not, and are slow.
  if "$target/$host/release/$name" -max_total_time="$seconds" -max_len=8192 -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="$root/fuzz/artifacts/$name/" "$found" "$root/fuzz/corpus/$name" >"$target/$name.log" 2>&1; then
    echo "fuzz $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$target/$name.log") inputs in $seconds s, 0 crashes"
  else
    tail -n 40 "$target/$name.log"
    echo "fuzz $name: a crash; see fuzz/artifacts/$name"
    exit 1
  fi
done
