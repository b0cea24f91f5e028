#!/usr/bin/env bash
# Fetches the parts of PostgreSQL's source that its own TLS tests need, from the archive that this
# Debian machine installs from, and prints the directory.
#
#   scripts/fetch-pg-source.sh NN [whole]
#
# Unpacks src/test/ssl and contrib/sslinfo; with `whole` everything, of that version only, to build
# a server from. What else `prove` needs is installed with the headers:
# $(dirname $(pg_config --pgxs))/../../src/test/perl and pg_regress. The apt configuration of the
# machine is neither changed nor used for package lists: sources are looked up in a state of our
# own. Where the archive does not have the source of that version, those of the next older one are
# taken.
#
# Environment: PGTLS_CACHE  cache directory, as in scripts/chroot.sh
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
version=$1 whole=${2:-}
say() { printf '%s\n' "source: $*" >&2; }

root=$("$here/chroot.sh" path "$version")
cache=$(dirname "$root")
result=$cache/source${whole:+-$whole}-pg$version

# The major versions whose tests will do, best first: its own, then the next older ones. A newer
# one's tests use settings that the server does not have.
candidates() {
    local other
    if [ -n "$whole" ]; then
        echo "$version"
        return
    fi
    for other in 18 17 15; do
        if [ "$other" -le "$version" ]; then echo "$other"; fi
    done
}

# $1: a directory for apt's state, $2: the major version. Leaves the archive in it. An archive that
# its list names and that is not there any more is an error here, as is a list that cannot be had.
download() {
    local suite mirror
    suite=$("$here/chroot.sh" path "$2")
    suite=${suite##*-}
    mirror=$("$here/chroot.sh" mirror "$2") || return
    mkdir -p "$1"/{lists/partial,archives/partial}
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
        >"$1/sources.list"
    cat >"$1/apt.conf" <<EOF
Dir::Etc::SourceList "$1/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$1/lists";
Dir::Cache "$1";
Dir::Cache::Archives "$1/archives";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "$(id -un)";
EOF
    say "fetching the source of PostgreSQL $2 (Debian $suite)"
    # The archive is enough: Debian's patches do not touch the tests.
    (
        cd "$1" || exit
        export APT_CONFIG=$1/apt.conf
        apt-get update -q && apt-get source --download-only --tar-only -q "postgresql-$2"
    ) >&2
}

if [ -e "$result/complete" ]; then
    echo "$result"
    exit 0
fi
mkdir -p "$cache"
exec 8>"$result.lock"
flock 8
if [ -e "$result/complete" ]; then
    echo "$result"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work" "$result.new"' EXIT
archive=
for candidate in $(candidates); do
    if download "$work/$candidate" "$candidate"; then
        archive=$(find "$work/$candidate" -maxdepth 1 -name '*.orig.tar.*' -not -name '*.asc')
        [ "$candidate" = "$version" ] ||
            say "the source of PostgreSQL $version cannot be had: taking the tests of $candidate"
        break
    fi
done
if [ -z "$archive" ]; then
    say "no source of PostgreSQL can be had"
    exit 1
fi

rm -rf "$result.new"
mkdir -p "$result.new"
parts=(--wildcards '*/src/test/ssl' '*/contrib/sslinfo' '*/COPYRIGHT')
tar -x -C "$result.new" --strip-components=1 -f "$archive" "${parts[@]:${whole:+4}}"
touch "$result.new/complete"
rm -rf "$result"
mv "$result.new" "$result"
say "unpacked into $result"
echo "$result"
