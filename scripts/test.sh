#!/usr/bin/env bash
# Builds the extension for one PostgreSQL version and runs every test suite against it. Called by
# `make test`, on the host or in a chroot.
#
#   scripts/test.sh NN [FILTER]
#
# FILTER picks end-to-end tests. A suite that fails does not keep the others from running. Ends with
# "N passed, N failed" over all suites; the exit status is 0 only if none failed. Every cargo
# command names the whole workspace, as the build does (see Makefile), and so finds everything
# built.
#
# Environment: PG_CONFIG         the server to test
#              PGTLS_STAGE       where the extension is staged
#              CARGO_TARGET_DIR  where cargo builds
#              PGTLS_CORE_TESTS  which tests of the core: all (the default), openssl, none
#              PGTLS_LEFT_OUT    table of what cannot run with this server: a suite, a test of it or
#                                "-" for all of it, and the reason, with tabs between them
#
# The core knows no server, so its tests say the same for every PostgreSQL that is linked with the
# same OpenSSL. A chroot has an OpenSSL of its own: there, those that compare the core with OpenSSL
# are run again (`openssl`). Left out are the replay of the fuzzers' findings, the logins and the
# unit tests: 9 of 43 seconds of CPU. scripts/test-matrix.sh says which version runs what;
# `make test PG=NN` by itself runs all of them.
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

left_out=${PGTLS_LEFT_OUT:-/dev/null}

# leave_out SUITE PATTERN...: sets `skips` to what makes cargo leave out the tests of the table, and
# counts each as skipped. PATTERNs are those that pick tests: what they do not pick is left out
# anyhow. A name in the table that no test has is an error.
leave_out() {
    local suite=$1 of name reason pattern picked
    shift
    skips=()
    while IFS=$'\t' read -r of name reason; do
        if [ "$of" != "$suite" ] || [ "$name" = - ]; then continue; fi
        picked=$((! $#))
        for pattern; do [[ $name != *"$pattern"* ]] || picked=1; done
        [ "$picked" = 1 ] || continue
        if grep -qxF "$name: test" <<<"$names"; then
            unavailable "$suite $name" "$reason"
        else
            skip "$suite $name" "$left_out names it, but there is no such test" || true
        fi
        skips+=(--skip "$name")
    done <"$left_out"
}

# Why the whole of suite $1 cannot run; nothing if it can.
why_not() { awk -F '\t' -v suite="$1" '$1 == suite && $2 == "-" { print $3 }' "$left_out"; }

mkdir -p target/results
rm -f "${results%.tsv}".*

# The modules of core_tests whose expectations come from the OpenSSL that is linked.
against_openssl=(against_openssl:: bundles:: certificates:: crl:: names:: revocation::)

workspace=(--workspace --no-fail-fast --no-default-features --features "pgtls_ext/pg$version")

if step build make --no-print-directory stage PG_CONFIG="$PG_CONFIG"; then built=1; else built=0; fi
names=
if [ "$left_out" != /dev/null ]; then
    names=$(scripts/cargo.sh test "${workspace[@]}" --test core_tests --test e2e -- --list) || true
fi
case ${PGTLS_CORE_TESTS:-all} in
all)
    leave_out core
    tests core scripts/cargo.sh test "${workspace[@]}" --lib --test core_tests -- "${skips[@]}" || true
    ;;
openssl)
    leave_out core "${against_openssl[@]}"
    tests core-openssl scripts/cargo.sh test "${workspace[@]}" --test core_tests -- \
        "${against_openssl[@]}" "${skips[@]}" || true
    ;;
none) ;;
*)
    echo "PGTLS_CORE_TESTS=$PGTLS_CORE_TESTS: neither all nor openssl nor none" >&2
    exit 2
    ;;
esac
if [ "${PGTLS_CORE_TESTS:-all}" = all ] && grep -rqE '^ *//[/!] ```rust$' crates/*/src; then
    # Not --doc, which leaves out what only tests depend on and so would compile half the tree
    # again. Only the names of documentation tests have this in them.
    tests documentation scripts/cargo.sh test "${workspace[@]}" -- '.rs - ' || true
fi
if [ "$built" = 1 ]; then
    leave_out e2e ${filter:+"$filter"}
    tests e2e scripts/cargo.sh test "${workspace[@]}" --test e2e -- ${filter:+"$filter"} \
        --skip exporters:: "${skips[@]}" || true
    # What exporters and Prometheus make of the views is the same for every version: where all of
    # the core is tested, so are they.
    if [ "${PGTLS_CORE_TESTS:-all}" = all ] && [[ exporters == "$filter"* ]]; then
        if [ -x target/exporters/usr/bin/prometheus ]; then
            tests exporters scripts/cargo.sh test "${workspace[@]}" --test e2e -- exporters:: || true
        else
            unavailable exporters "Prometheus and its exporters cannot be had here"
        fi
    fi
    reason=$(why_not sslinfo-tap)
    # A chroot cannot fetch: what its maker could not get is not there.
    if [ -z "${PGTLS_PG_SOURCE:-}${PGTLS_IN_CHROOT:-}$reason" ]; then
        PGTLS_PG_SOURCE=$(scripts/fetch-pg-source.sh "$version") || true
    fi
    if [ -n "$reason" ]; then
        unavailable sslinfo-tap "$reason"
    elif [ -n "${PGTLS_PG_SOURCE:-}" ]; then
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
