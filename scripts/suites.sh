#!/usr/bin/env bash
# Runs test suites one after the other, whatever becomes of each, and adds them up.
#
#   scripts/suites.sh run RESULTS NAME COMMAND...    run one suite and append its counts to RESULTS
#   scripts/suites.sh skip RESULTS NAME REASON       a suite that could not run: counts as failed
#   scripts/suites.sh summary RESULTS...             table of suites, then "N passed, N failed"
#
# What a suite prints is shown as it comes. The result lines of cargo test are summed; a command
# without any counts as one test, passed or failed by its exit status. A command that fails without
# a failed test (it did not compile, it crashed) counts as one failure. `run` and `summary` exit
# non-zero on failure; `summary` also when no test ran at all.
set -euo pipefail

# Prints "passed failed" for the output in file $1 of a command that exited with $2.
count() {
    awk -v status="$2" '
        { gsub(/\033\[[0-9;]*m/, "") }
        /^test result: / {
            seen = 1
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^passed/) passed += $(i - 1)
                if ($i ~ /^failed/) failed += $(i - 1)
            }
        }
        END {
            if (!seen && status == 0) passed = 1
            # A test binary without a single test is a mistake in how it was called.
            if (seen && passed + failed == 0) failed = 1
            if (status != 0 && failed == 0) failed = 1
            print passed + 0, failed + 0
        }' "$1"
}

record() { printf '%s\t%s\t%s\t%s\n' "$2" "$3" "$4" "$5" >>"$1"; }

run() {
    local results=$1 name=$2 log status=0 started=$SECONDS passed failed
    shift 2
    mkdir -p "$(dirname "$results")"
    log=${results%.tsv}.${name//[^A-Za-z0-9]/-}.log
    printf '\n== %s\n' "$name"
    "$@" 2>&1 </dev/null | tee "$log" || status=${PIPESTATUS[0]}
    read -r passed failed <<<"$(count "$log" "$status")"
    record "$results" "$name" "$passed" "$failed" $((SECONDS - started))
    printf '== %s: %s passed, %s failed, %s s\n' "$name" "$passed" "$failed" $((SECONDS - started))
    [ "$failed" = 0 ]
}

skip() {
    printf '\n== %s: not run, %s\n' "$2" "$3"
    mkdir -p "$(dirname "$1")"
    record "$1" "$2 (not run: $3)" 0 1 0
    return 1
}

summary() {
    local file
    for file in "$@"; do
        [ -e "$file" ] || record "$file" "$(basename "$file" .tsv)" 0 1 0
    done
    echo
    awk -F '\t' '
        { printf "%8d passed %6d failed %6d s   %s: %s\n", $2, $3, $4, group(FILENAME), $1
          passed += $2; failed += $3 }
        function group(path) { sub(/.*\//, "", path); sub(/\.tsv$/, "", path); return path }
        END {
            printf "%d passed, %d failed\n", passed, failed
            exit failed > 0 || passed == 0
        }' "$@"
}

case ${1:-} in
run | skip | summary) "$@" ;;
*)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
