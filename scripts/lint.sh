#!/usr/bin/env bash
# Everything that can be said about the sources without running a server. Called by `make lint` and
# `make check`.
#
#   scripts/lint.sh NN [--with-core-tests]
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
version=$1
results=target/results/lint.tsv
workspace=(--workspace --no-default-features --features "pgtls_ext/pg$version")

trap 'exit 130' INT TERM HUP

step() { scripts/suites.sh run "$results" "$@" || true; }
tests() { scripts/suites.sh tests "$results" "$@" || true; }

mkdir -p target/results
rm -f "${results%.tsv}".*

step format cargo fmt --all --check
step clippy scripts/cargo.sh clippy "${workspace[@]}" --all-targets -- -D warnings
step unsafe-fence scripts/check-unsafe.sh
step layers scripts/check-layers.sh
step layers-self-test scripts/check-layers.sh --self-test
step lock-files scripts/check-lock.sh
step shellcheck shellcheck scripts/*.sh .ci/run
if [ "${2:-}" = --with-core-tests ]; then
    tests core scripts/cargo.sh test "${workspace[@]}" --lib --test core_tests --no-fail-fast
fi

scripts/suites.sh summary "$results"
