#!/usr/bin/env bash
# Whether the sources keep to the floors of docs/architecture.md: what is above may use what is
# below, and nothing the other way round.
#
#   scripts/check-layers.sh [DIRECTORY]     check the sources below DIRECTORY (default: this project)
#   scripts/check-layers.sh --self-test     see each rule refuse what it forbids
#
# Rules:
#   floor    a file imports from its own floor or from those that the table allows
#   circle   no two files of the extension import each other, directly or by way of others
#   super    no `super::super`: what is further away is named from the root
#   safe     src/sql, src/checks and the worker name neither the server's bindings nor OpenSSL's
#   ffi      functions of OpenSSL are declared in src/pg/openssl/ffi.rs only
#   root     the core is imported module by module, not from its root
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")

# A floor and those below it that it may use. `lib.rs` puts everything together.
allowed() {
    case $1 in
    sql) echo "sql checks pg/recorder pg/connection pg/openssl pg/server pg/datum pg/memory error" ;;
    worker) echo "checks pg/recorder pg/server pg/memory error" ;;
    checks) echo "checks pg/recorder pg/connection pg/openssl pg/server pg/datum pg/memory error" ;;
    pg/recorder) echo "pg/recorder pg/connection pg/openssl pg/server pg/datum pg/memory error" ;;
    pg/connection) echo "pg/connection pg/openssl pg/server pg/datum pg/memory error" ;;
    pg/openssl) echo "pg/openssl pg/server pg/datum pg/memory error" ;;
    pg/server) echo "pg/server pg/datum pg/memory error" ;;
    pg/datum) echo "pg/datum pg/memory error" ;;
    pg/memory) echo "error" ;;
    error) echo "" ;;
    *) return 1 ;;
    esac
}

# The floor of a path below src, or of a module path with slashes.
floor_of() {
    local path=${1%.rs}
    case $path in
    pg/*/*) path=${path#pg/} && echo "pg/${path%%/*}" ;;
    pg/*) echo "pg/${path#pg/}" ;;
    */*) echo "${path%%/*}" ;;
    *) echo "$path" ;;
    esac
}

# Every import of the crate's own modules below src: the file, a blank, the module path with slashes.
# Braces are opened, whatever lines they are on.
imports() {
    local file
    find . -name '*.rs' | sed 's|^\./||' | sort | while read -r file; do
        sed -E 's://.*$::' "$file" | tr '\n' ' ' | grep -oE '\buse crate::[^;]*;' |
            sed -E 's/^use crate:://; s/;$//; s/ as [A-Za-z_0-9]+//g; s/[ ]+//g' |
            while read -r tree; do
                case $tree in
                *\{*) for leaf in $(tr ',{}' '   ' <<<"${tree#*\{}"); do
                    echo "$file ${tree%%\{*}$leaf"
                done ;;
                *) echo "$file $tree" ;;
                esac
            done
    done | sed 's|::|/|g'
}

# The file that a module path leads to.
file_of() {
    local path=$1
    while [ -n "$path" ]; do
        if [ -e "$path.rs" ]; then
            echo "$path.rs"
            return
        elif [ -e "$path/mod.rs" ]; then
            echo "$path/mod.rs"
            return
        fi
        case $path in */*) path=${path%/*} ;; *) return ;; esac
    done
}

check() {
    local found=0 file path from to
    complain() {
        printf 'layers: %s\n' "$*"
        found=1
    }
    cd "$1/src"
    while read -r file path; do
        from=$(floor_of "$file") to=$(floor_of "$path")
        case $file in lib.rs | */mod.rs) continue ;; esac
        # An item of the root, such as a function of error.rs, has the floor of its module.
        if ! rules=$(allowed "$from"); then
            complain "floor: src/$file is on no floor of the table"
        elif ! grep -qwF -- "$to" <<<"${rules// /$'\n'}"; then
            complain "floor: src/$file uses crate::${path//\//::}, but $from may not use $to"
        fi
    done < <(imports)

    while read -r file path; do
        to=$(file_of "$path")
        if [ -n "$to" ] && [ "$to" != "$file" ]; then echo "$file $to"; fi
    done < <(imports | grep -vE '(^|/)(lib|mod)\.rs ') | sort -u >"$edges"
    if ! tsort "$edges" >/dev/null 2>"$circles"; then
        complain "circle: $(grep -v 'input contains a loop' "$circles" | sed 's/^tsort: /src\//' | tr '\n' ' ')"
    fi

    cd ..
    while read -r file; do complain "super: $file"; done \
        < <(grep -rnE --include='*.rs' 'super::super' src crates/*/src)
    while read -r file; do complain "safe: $file"; done < <(
        grep -rnE --include='*.rs' '\b(pg_sys|openssl|openssl_sys|libc)::' \
            src/worker.rs src/sql src/checks |
            grep -vE 'pg_sys::panic::ErrorReport|crate::pg::openssl::|^[^:]*:[0-9]+: *//'
    )
    while read -r file; do complain "ffi: $file"; done < <(
        grep -rnE --include='*.rs' '^(pub )?unsafe extern "C" \{|^extern "C" \{' src |
            grep -v '^src/pg/openssl/ffi.rs:'
    )
    while read -r file; do complain "root: $file"; done \
        < <(grep -rnE --include='*.rs' '\buse pgtls_core::[A-Z{*]' src | grep -vE 'pgtls_core::\{[a-z]')
    return "$found"
}

edges=$(mktemp) circles=$(mktemp)
trap 'rm -rf "$edges" "$circles" ${copy:+"$copy"}' EXIT

if [ "${1-}" != --self-test ]; then
    check "${1:-$here/..}" && echo "every import goes down"
    exit
fi

# Puts one forbidden line at the end of one file of a copy, and expects the rule to say so.
status=0
while IFS='|' read -r rule file line; do
    copy=$(mktemp -d)
    mkdir "$copy/crates"
    cp -r "$here/../src" "$copy/src"
    cp -r "$here/../crates/pgtls-core" "$copy/crates/pgtls-core"
    printf '%s\n' "$line" >>"$copy/$file"
    said=$( (check "$copy") || true)
    if grep -q "^layers: $rule: " <<<"$said"; then
        echo "refused: $rule"
    else
        echo "not refused: $rule: \"$line\" in $file"
        status=1
    fi
    rm -rf "$copy"
done <<'CASES'
floor|src/checks/login.rs|use crate::sql::columns;
floor|src/pg/server/guc.rs|use crate::pg::recorder::{segment, sessions};
floor|src/pg/datum/time.rs|use crate::checks::login::Login;
floor|src/error.rs|use crate::pg::memory;
circle|src/pg/server/config_files.rs|use crate::pg::server::tls_settings;
super|crates/pgtls-core/src/time.rs|use super::super::work;
safe|src/sql/status.rs|fn f() { openssl::version::number(); }
safe|src/checks/login.rs|use pgrx::pg_sys::Oid;
ffi|src/pg/connection/tls.rs|unsafe extern "C" {
root|src/checks/login.rs|use pgtls_core::Certificate;
CASES
exit "$status"
