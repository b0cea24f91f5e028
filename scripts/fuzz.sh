#!/usr/bin/env bash
# Fuzzes every target of fuzz/ for a number of seconds each. Called by `make fuzz`.
#
#   scripts/fuzz.sh SECONDS
#
# A crash is kept in fuzz/artifacts; it ends its own target only, and makes the exit status non-zero.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
seconds=$1
results=target/results/fuzz.tsv
# The version that is known to work with the targets as they are.
cargo_fuzz=0.13.2

if [ ! -e fuzz/Cargo.toml ]; then
    echo "there are no fuzz targets" >&2
    exit 1
fi
# fuzz/ is a workspace with a target directory of its own.
unset CARGO_TARGET_DIR
if [ "$(cargo fuzz --version 2>/dev/null)" != "cargo-fuzz $cargo_fuzz" ]; then
    cargo install --locked --version "$cargo_fuzz" cargo-fuzz
fi
# Sanitizers are not stable in Rust, but the stable compiler has them: no second tool-chain is needed.
export RUSTC_BOOTSTRAP=1

trap 'exit 130' INT TERM HUP
mkdir -p target/results
rm -f "${results%.tsv}".*
for target in $(cargo fuzz list); do
    scripts/suites.sh run "$results" "$target" \
        cargo fuzz run "$target" -- -max_total_time="$seconds" -timeout=10 || true
done
scripts/suites.sh summary "$results"
