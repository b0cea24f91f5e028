#!/usr/bin/env bash
# All benchmarks, for PG_CONFIG's server with a release build staged below PGTLS_STAGE. Called by
# `make bench`.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
ran=0
if [ -d crates/pgtls-core/benches ]; then
    cargo bench -p pgtls-core
    ran=1
fi
if [ -e tests/src/bin/bench.rs ]; then
    cargo run --quiet --release -p pgtls-e2e --bin bench
    ran=1
fi
if [ "$ran" = 0 ]; then
    echo "there are no benchmarks" >&2
    exit 1
fi
