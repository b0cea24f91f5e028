#!/usr/bin/env bash
# Fetches the parts of PostgreSQL's source that its own TLS tests need, from the archive that this
# Debian machine installs from, and prints the directory.
#
#   scripts/fetch-pg-source.sh NN
#
# Unpacks src/test/ssl and contrib/sslinfo. What else `prove` needs is installed with the headers:
# $(dirname $(pg_config --pgxs))/../../src/test/perl and pg_regress. The apt configuration of the
# machine is neither changed nor used for package lists: sources are looked up in a state of our own.
#
# Environment: PGTLS_CACHE  cache directory, as in scripts/chroot.sh
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
version=$1
say() { printf '%s\n' "source: $*" >&2; }

root=$("$here/chroot.sh" path "$version")
cache=$(dirname "$root") suite=${root##*-}
result=$cache/source-pg$version

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
mkdir -p "$work"/{lists/partial,archives/partial}
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $("$here/chroot.sh" mirror "$suite") $suite main" \
    >"$work/sources.list"
cat >"$work/apt.conf" <<EOF
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$work/lists";
Dir::Cache "$work";
Dir::Cache::Archives "$work/archives";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "$(id -un)";
EOF
export APT_CONFIG=$work/apt.conf

say "fetching the source of PostgreSQL $version (Debian $suite)"
apt-get update -q >&2
# The archive is enough: Debian's patches do not touch the tests.
(cd "$work" && apt-get source --download-only --tar-only -q "postgresql-$version" >&2)

rm -rf "$result.new"
mkdir -p "$result.new"
tar -x -C "$result.new" --strip-components=1 --wildcards -f "$(find "$work" -maxdepth 1 -name '*.orig.tar.*' -not -name '*.asc')" \
    '*/src/test/ssl' '*/contrib/sslinfo' '*/COPYRIGHT'
touch "$result.new/complete"
rm -rf "$result"
mv "$result.new" "$result"
say "unpacked into $result"
echo "$result"
