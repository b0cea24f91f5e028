#!/usr/bin/env bash
# Fuzzes the targets of fuzz/ for a number of seconds each. Called by `make fuzz`.
#
#   scripts/fuzz.sh SECONDS [TARGET...]
#
# Inputs start from the fixtures of the tests. A crash, an input that takes over five seconds and
# more than 64 MB of memory are findings: they are kept in fuzz/artifacts, end their own target
# only, and make the exit status non-zero. The core has no unsafe code, so it runs without a
# sanitizer, which would need more memory than the limit.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
seconds=$1
shift
results=target/results/fuzz.tsv
# The version that is known to work with the targets as they are.
cargo_fuzz=0.13.2

# fuzz/ is a workspace with a target directory of its own.
unset CARGO_TARGET_DIR
if [ "$(cargo fuzz --version 2>/dev/null)" != "cargo-fuzz $cargo_fuzz" ]; then
    cargo install --locked --version "$cargo_fuzz" cargo-fuzz
fi

trap 'exit 130' INT TERM HUP
mkdir -p target/results
rm -f "${results%.tsv}".*
PGTLS_FUZZ_CORPUS=$PWD/fuzz/corpus scripts/suites.sh run "$results" seeds \
    scripts/cargo.sh test --workspace --quiet --test core_tests -- --ignored write_seeds || true

# The options of coverage are not stable in Rust, but the stable compiler has them.
export RUSTC_BOOTSTRAP=1
mapfile -t targets < <(cargo fuzz list)
[ $# = 0 ] || targets=("$@")
for target in "${targets[@]}"; do
    scripts/suites.sh run "$results" "$target" \
        cargo fuzz run --sanitizer none "$target" -- -max_total_time="$seconds" \
        -max_len=65536 -timeout=5 -rss_limit_mb=64 -print_final_stats=1 || true
done
scripts/suites.sh summary "$results"
