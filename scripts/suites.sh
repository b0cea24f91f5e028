#!/usr/bin/env bash
# Runs test suites one after the other, whatever becomes of each, and adds them up.
#
#   scripts/suites.sh tests RESULTS NAME COMMAND...  run cargo tests and append their counts to RESULTS
#   scripts/suites.sh tap RESULTS NAME COMMAND...    the same for tests that print TAP, as `prove -v` does
#   scripts/suites.sh run RESULTS NAME COMMAND...    the same for a command that counts as one test
#   scripts/suites.sh skip RESULTS NAME REASON       a suite that could not run: counts as failed
#   scripts/suites.sh unavailable RESULTS NAME REASON
#                                                    one that needs what cannot be fetched: skipped
#   scripts/suites.sh summary RESULTS...             table of suites, then "N passed, N failed"
#
# What a suite prints is shown as it comes. Tests that fail without a failed test (they did not
# compile, they crashed) or that ran no test count as one failure. The exit status is non-zero on
# failure; that of `summary` also when nothing ran at all. Where something was skipped, `summary`
# names it with the reason, and its last line goes on with ", N skipped". Of each test that failed
# it repeats the first lines: who sees only the end of the output sees why.
set -euo pipefail

trap 'exit 130' INT TERM HUP

# The status of a command under `run` that could not fetch what it needs; its last line says why.
CANNOT_FETCH=75

# Prints "passed failed" for cargo tests that printed file $1 and exited with $2.
count_tests() {
    awk -v status="$2" '
        { gsub(/\033\[[0-9;]*m/, "") }
        /^test result: / {
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^passed/) passed += $(i - 1)
                if ($i ~ /^failed/) failed += $(i - 1)
            }
        }
        END {
            if (failed == 0 && (status != 0 || passed == 0)) failed = 1
            print passed + 0, failed + 0
        }' "$1"
}

count_tap() {
    awk -v status="$2" '
        /^ok [0-9]/ { passed++ }
        /^not ok [0-9]/ { failed++ }
        END {
            if (failed == 0 && (status != 0 || passed == 0)) failed = 1
            print passed + 0, failed + 0
        }' "$1"
}

count_run() { if [ "$2" = 0 ]; then echo 1 0; else echo 0 1; fi; }

# What the failed tests of log $1 said: of a cargo test the first lines of its output, of TAP its
# line, of anything else the log's last lines.
why_failed() {
    awk '
        { gsub(/\033\[[0-9;]*m/, "") }
        /^---- .* stdout ----$/ { left = 25 }
        /^not ok [0-9]/ { print; found = 1 }
        /^failures:$/ || /^test result: / { left = 0 }
        left-- > 0 { print substr($0, 1, 1000); found = 1 }
        { last[NR % 10] = substr($0, 1, 1000) }
        END { if (!found) for (i = NR - 9; i <= NR; i++) if (i > 0) print last[i % 10] }' "$1"
}

# The fifth field counts suites that were skipped.
record() { printf '%s\t%s\t%s\t%s\t%s\n' "$2" "$3" "$4" "$5" "${6:-0}" >>"$1"; }

# $1: how to count
suite() {
    local count=$1 results=$2 name=$3 log status=0 started=$SECONDS passed failed
    shift 3
    mkdir -p "$(dirname "$results")"
    log=${results%.tsv}.${name//[^A-Za-z0-9]/-}.log
    printf '\n== %s\n' "$name"
    "$@" 2>&1 </dev/null | tee "$log" || status=${PIPESTATUS[0]}
    if [ "$count" = count_run ] && [ "$status" = "$CANNOT_FETCH" ]; then
        unavailable "$results" "$name" "$(tail -n 1 "$log")"
        return
    fi
    read -r passed failed <<<"$("$count" "$log" "$status")"
    record "$results" "$name" "$passed" "$failed" $((SECONDS - started))
    printf '== %s: %s passed, %s failed, %s s\n' "$name" "$passed" "$failed" $((SECONDS - started))
    [ "$failed" = 0 ] && return
    why_failed "$log" >"${log%.log}.failed"
    return 1
}

skip() {
    printf '\n== %s: not run, %s\n' "$2" "$3"
    mkdir -p "$(dirname "$1")"
    record "$1" "$2 (not run: $3)" 0 1 0
    return 1
}

unavailable() {
    printf '\n== %s: skipped, %s\n' "$2" "$3"
    mkdir -p "$(dirname "$1")"
    record "$1" "$2 ($3)" 0 0 0 1
}

summary() {
    local file failed
    for file in "$@"; do
        [ -e "$file" ] || record "$file" "$(basename "$file" .tsv)" 0 1 0
    done
    for file in "$@"; do
        for failed in "${file%.tsv}".*.failed; do
            [ ! -e "$failed" ] || printf '\n== failed: %s\n%s\n' "$(basename "$failed" .failed)" "$(<"$failed")"
        done
    done
    echo
    awk -F '\t' '
        $5 > 0 { skipped += $5; why = why sprintf("skipped: %s: %s\n", group(FILENAME), $1); next }
        { printf "%8d passed %6d failed %6d s   %s: %s\n", $2, $3, $4, group(FILENAME), $1
          passed += $2; failed += $3 }
        function group(path) { sub(/.*\//, "", path); sub(/\.tsv$/, "", path); return path }
        END {
            printf "%s%d passed, %d failed", why, passed, failed
            if (skipped > 0) printf ", %d skipped", skipped
            print ""
            exit failed > 0 || passed == 0
        }' "$@"
}

tests() { suite count_tests "$@"; }
tap() { suite count_tap "$@"; }
run() { suite count_run "$@"; }

case ${1:-} in
tests | tap | run | skip | unavailable | summary) "$@" ;;
*)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
