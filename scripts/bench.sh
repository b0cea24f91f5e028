#!/usr/bin/env bash
# Benchmarks for PG_CONFIG's server, with a release build staged below PGTLS_STAGE. Called by
# `make bench`.
#
#   scripts/bench.sh [PART...]
#
# The part `core` is that of the library without a server; the others are those of the program
# bench.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
core=0 parts=()
for part in "$@"; do
    if [ "$part" = core ]; then core=1; else parts+=("$part"); fi
done
if [ $# = 0 ] || [ "$core" = 1 ]; then
    scripts/cargo.sh bench -p pgtls-core
fi
if [ $# = 0 ] || [ "${#parts[@]}" -gt 0 ]; then
    scripts/cargo.sh run --quiet --release -p pgtls-e2e --bin bench -- "${parts[@]}"
fi
