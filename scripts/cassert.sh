#!/usr/bin/env bash
# Builds PostgreSQL NN with its assertions from the source of Debian, and prints the path of its
# pg_config. What is there is used again.
#
#   scripts/cassert.sh NN
#
# Assertions find what a release build forgives: a lock that is still held, memory that is used
# after it was freed (CLOBBER_FREED_MEMORY), a transaction state that a hook must not touch.
#
# Environment: PGTLS_CACHE  cache directory, as in scripts/chroot.sh
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
version=$1
say() { printf '%s\n' "cassert: $*" >&2; }

cache=$(dirname "$("$here/chroot.sh" path "$version")")
server=$cache/cassert-pg$version
if [ ! -e "$server/complete" ]; then
    source=$("$here/fetch-pg-source.sh" "$version" whole)
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT
    say "building PostgreSQL $version with assertions, some minutes (see $server.log)"
    rm -rf "$server"
    (
        cd "$build"
        "$source/configure" --prefix="$server" --enable-cassert --enable-debug --with-openssl --with-ldap --enable-tap-tests \
            --without-readline --without-zlib CFLAGS='-O1 -g'
        make -s -j "$(nproc)"
        make -s install
        make -s -C contrib install
    ) >"$server.log" 2>&1 || { tail -n 20 "$server.log" >&2; exit 1; }
    touch "$server/complete"
fi
echo "$server/bin/pg_config"
