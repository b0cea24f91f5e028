#!/usr/bin/env bash
# Every suite on several PostgreSQL versions: `make test PG=NN` for each. Called by
# `make test-matrix`.
#
#   scripts/test-matrix.sh NN...
#
# The version of the host runs first, while the chroots that are missing are made, and PostgreSQL 16
# is fetched (scripts/pg16.sh); the others then run side by side, each line of theirs marked with
# its version. Ends with the time of each phase and "N passed, N failed" over all of it.
#
# Environment: PGTLS_TEST_PKI  directory of the test certificates (made anew unless given)
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
here=() elsewhere=() fetched=() phases=()
declare -A jobs=()

# start NAME COMMAND...: in the background, as a process group, which can be ended as a whole.
start() {
    local name=$1
    shift
    set -m
    "$@" </dev/null &
    jobs[$name]=$!
    set +m
}

stop_jobs() {
    local job
    for job in "${!jobs[@]}"; do
        kill -TERM -- "-${jobs[$job]}" 2>/dev/null || true
    done
}
trap stop_jobs EXIT
trap 'exit 130' INT TERM HUP

# Waits for a job; what it returned is in the results.
finish() {
    local status=0
    wait "${jobs[$1]}" || status=$?
    unset "jobs[$1]"
    return "$status"
}

phase() { phases+=("$(printf '%6d s  %s' $((SECONDS - $1)) "$2")"); }

# One that cannot be made is tried once more, later. Whether it is there is asked afterwards.
create_chroots() {
    local version
    local -a left=()
    for version in "${elsewhere[@]}"; do
        nice scripts/chroot.sh create "$version" || left+=("$version")
    done
    for version in "${left[@]}"; do
        nice scripts/chroot.sh create "$version" || true
    done
}

# Whether it worked is seen by `make test`, which says why not.
create_all() {
    if [ ${#fetched[@]} -gt 0 ]; then nice scripts/pg16.sh create || true; fi
    create_chroots
}

# The core does not know the server: it is tested once as a whole, and again where OpenSSL is
# another (scripts/test.sh). $1: all, openssl or none; $2: the version.
test_version() { PGTLS_CORE_TESTS=$1 make --no-print-directory test PG="$2" </dev/null; }
test_marked() { test_version "$@" 2>&1 | sed -u "s/^/[$2] /"; }

mkdir -p target/results
for version in "$@"; do
    rm -f "target/results/pg$version".*
    case $(scripts/chroot.sh where "$version") in
    host) here+=("$version") ;;
    chroot) elsewhere+=("$version") ;;
    registry) fetched+=("$version") ;;
    *) exit 2 ;;
    esac
done

# One PKI for all versions: making it takes seconds.
if [ -z "${PGTLS_TEST_PKI:-}" ]; then
    export PGTLS_TEST_PKI=$PWD/target/test-pki
    rm -rf "$PGTLS_TEST_PKI"
fi

if [ ${#elsewhere[@]} -gt 0 ]; then scripts/setup-debian.sh chroot; fi
if [ ${#fetched[@]} -gt 0 ]; then scripts/setup-debian.sh registry || true; fi
if [ ${#elsewhere[@]} -gt 0 ] || [ ${#fetched[@]} -gt 0 ]; then start others create_all; fi

core=all
for version in "${here[@]}"; do
    started=$SECONDS
    test_version "$core" "$version" || true
    core=none
    phase "$started" "PostgreSQL $version"
done

if [ -n "${jobs[others]:-}" ]; then
    started=$SECONDS
    finish others || true
    phase "$started" "waiting for the other versions"
    started=$SECONDS
    there=()
    for version in "${elsewhere[@]}"; do
        if scripts/chroot.sh exists "$version"; then
            there+=("$version")
        else
            scripts/suites.sh unavailable "target/results/pg$version.tsv" "PostgreSQL $version" \
                "its chroot cannot be made, see the log of scripts/chroot.sh create"
        fi
    done
    there+=("${fetched[@]}")
    # Without a version on the host, the first of these runs all of them.
    [ "$core" = all ] || core=openssl
    for version in "${there[@]}"; do
        start "$version" test_marked "$core" "$version"
        core=openssl
    done
    for version in "${there[@]}"; do
        finish "$version" || true
        phase "$started" "PostgreSQL $version (beside the others)"
    done
fi

printf '\nTime by phase:\n'
printf '%s\n' "${phases[@]}"
# A version that did not even start has no results, which counts as a failure.
results=("${@/#/target/results/pg}")
scripts/suites.sh summary "${results[@]/%/.tsv}"
