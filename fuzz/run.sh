#!/bin/sh
# Fuzzes one target after the other: fuzz/run.sh [seconds per target] [targets ...]
#
# Needs cargo-fuzz, and a nightly toolchain or RUSTC_BOOTSTRAP=1. The core has no unsafe code, so it runs without a
# sanitizer, which leaves the memory limit to what the core itself takes.
set -eu
cd "$(dirname "$0")"

seconds=${1:-60}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- certificate name pem_bundle crl revocation hba ident

cargo run --quiet --manifest-path ../Cargo.toml -p pgtls-core --example fuzz_seeds -- corpus
PGTLS_FUZZ_CORPUS="$PWD/corpus" cargo test --quiet --manifest-path ../Cargo.toml -p pgtls-core \
    --test crl_fuzz --test access_fuzz -- --ignored write_seeds
for target in "$@"; do
    cargo fuzz run --sanitizer none --fuzz-dir . "$target" -- \
        -max_total_time="$seconds" -max_len=65536 -timeout=5 -rss_limit_mb=${RSS_LIMIT_MB:-64} -print_final_stats=1
done
