#!/usr/bin/env bash
# Builds the extension for one PostgreSQL version and runs every test suite against it. Called by
# `make test`, on the host or in a chroot.
#
#   scripts/test.sh NN [FILTER]
#
# FILTER picks end-to-end tests. A suite that fails does not keep the others from running. Ends with
# "N passed, N failed" over all suites; the exit status is 0 only if none failed. Every cargo command
# names the whole workspace, as the build does (see Makefile), and so finds everything built.
#
# Environment: PG_CONFIG         the server to test
#              PGTLS_STAGE       where the extension is staged
#              CARGO_TARGET_DIR  where cargo builds
#              PGTLS_CORE_TESTS  which tests of the core: all (the default), openssl, none
#
# The core knows no server, so its tests say the same for every PostgreSQL that is linked with the same
# OpenSSL. A chroot has an OpenSSL of its own: there, those that compare the core with OpenSSL are run
# again (`openssl`). Left out are the replay of the fuzzers' findings, the logins and the unit tests:
# 9 of 43 seconds of CPU. scripts/test-matrix.sh says which version runs what; `make test PG=NN` by
# itself runs all of them.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
version=$1 filter=${2:-}
results=target/results/pg$version.tsv

trap 'exit 130' INT TERM HUP

tests() { scripts/suites.sh tests "$results" "$@"; }
tap() { scripts/suites.sh tap "$results" "$@"; }
step() { scripts/suites.sh run "$results" "$@"; }
skip() { scripts/suites.sh skip "$results" "$@"; }
unavailable() { scripts/suites.sh unavailable "$results" "$@"; }

mkdir -p target/results
rm -f "${results%.tsv}".*

# The modules of core_tests whose expectations come from the OpenSSL that is linked.
against_openssl=(against_openssl:: bundles:: certificates:: crl:: names:: revocation::)

workspace=(--workspace --no-fail-fast --no-default-features --features "pgtls_ext/pg$version")

if step build make --no-print-directory stage PG_CONFIG="$PG_CONFIG"; then built=1; else built=0; fi
case ${PGTLS_CORE_TESTS:-all} in
all) tests core scripts/cargo.sh test "${workspace[@]}" --lib --test core_tests || true ;;
openssl)
    tests core-openssl scripts/cargo.sh test "${workspace[@]}" --test core_tests -- \
        "${against_openssl[@]}" || true
    ;;
none) ;;
*)
    echo "PGTLS_CORE_TESTS=$PGTLS_CORE_TESTS: neither all nor openssl nor none" >&2
    exit 2
    ;;
esac
if [ "${PGTLS_CORE_TESTS:-all}" = all ] && grep -rqE '^ *//[/!] ```rust$' crates/*/src; then
    # Not --doc, which leaves out what only tests depend on and so would compile half the tree again.
    # Only the names of documentation tests have this in them.
    tests documentation scripts/cargo.sh test "${workspace[@]}" -- '.rs - ' || true
fi
if [ "$built" = 1 ]; then
    tests e2e scripts/cargo.sh test "${workspace[@]}" --test e2e -- ${filter:+"$filter"} || true
    # A chroot cannot fetch: what its maker could not get is not there.
    if [ -z "${PGTLS_PG_SOURCE:-}${PGTLS_IN_CHROOT:-}" ]; then
        PGTLS_PG_SOURCE=$(scripts/fetch-pg-source.sh "$version") || true
    fi
    if [ -n "${PGTLS_PG_SOURCE:-}" ]; then
        export PGTLS_PG_SOURCE
        tap sslinfo-tap scripts/sslinfo-tap.sh "$version" || true
    else
        unavailable sslinfo-tap "no source of PostgreSQL can be fetched"
    fi
else
    skip e2e "the build failed" || true
    skip sslinfo-tap "the build failed" || true
fi

scripts/suites.sh summary "$results"
