#!/usr/bin/env bash
# PostgreSQL's own test of contrib/sslinfo, with pgtls_ext in its place. Called by scripts/test.sh.
#
#   scripts/sslinfo-tap.sh NN
#
# Takes src/test/ssl of PostgreSQL NN, writes pgtls_ext for sslinfo in a copy of t/003_sslinfo.pl,
# and runs it with the Perl modules that are installed with the server's headers. Root runs it as
# the user postgres, as servers do not run as root. Nothing is written into the system.
#
# Environment: PG_CONFIG        the server to test
#              PGTLS_STAGE      where the extension is staged
#              PGTLS_PG_SOURCE  PostgreSQL's source tree (default: fetched from the Debian archive)
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
version=$1
die() { printf '%s\n' "sslinfo-tap: $*" >&2; exit 1; }

pgxs=$(dirname "$(dirname "$(dirname "$("$PG_CONFIG" --pgxs)")")")
libdir=$("$PG_CONFIG" --pkglibdir)
sharedir=$("$PG_CONFIG" --sharedir)
[ -d "$pgxs/src/test/perl" ] ||
    die "no Perl modules in $pgxs/src/test/perl: the server was installed without its TAP tests"
perl -MIPC::Run -e 1 2>/dev/null || die "the Perl module IPC::Run is missing: scripts/setup-debian.sh source"
source=${PGTLS_PG_SOURCE:-$(scripts/fetch-pg-source.sh "$version")} ||
    die "the source of PostgreSQL $version could not be fetched: set PGTLS_PG_SOURCE to a source tree"

# Short: it will hold Unix sockets. The test starts servers and ends them, whatever happens.
work=$(mktemp -d /tmp/pgtls-tap-XXXXXX)
trap 'rm -rf "$work"' EXIT
cp -R "$source/src/test/ssl" "$work/test"
mkdir -p "$work/bin" "$work/stage" "$work/output/data" "$work/output/log"
cp -R "$PGTLS_STAGE/." "$work/stage"

cd "$work/test"
sed 's/sslinfo/pgtls_ext/g' t/003_sslinfo.pl >t/003_pgtls_ext.pl
grep -q 'extensions => \[qw(pgtls_ext)\]' t/003_pgtls_ext.pl ||
    die "003_sslinfo.pl of PostgreSQL $version creates its extension in another way than expected"

{
    echo "dynamic_library_path = '$work/stage$libdir:\$libdir'"
    if [ "$version" -ge 18 ]; then
        echo "extension_control_path = '$work/stage$sharedir:\$system'"
    else
        echo "extension_destdir = '$work/stage'"
    fi
} >"$work/settings.conf"

# The tests look for pg_config.h where clients have it; Debian has the server's elsewhere.
cat >"$work/bin/pg_config" <<EOF
#!/bin/sh
[ "\$*" != --includedir ] || set -- --includedir-server
exec '$PG_CONFIG' "\$@"
EOF
chmod 755 "$work/bin/pg_config"

as_server=()
if [ "$(id -u)" = 0 ]; then
    chown -R postgres: "$work"
    chmod 755 "$work"
    as_server=(runuser -u postgres --)
fi

# The variables are those that PostgreSQL's makefiles set; up to 15 they are fewer.
"${as_server[@]}" env \
    PATH="$work/bin:$("$PG_CONFIG" --bindir):$PATH" \
    PERL5LIB="$pgxs/src/test/perl:$work/test/t${PERL5LIB:+:$PERL5LIB}" \
    PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
    TESTDIR="$work/output" \
    TESTDATADIR="$work/output/data" \
    TESTLOGDIR="$work/output/log" \
    TEMP_CONFIG="$work/settings.conf" \
    PG_TEST_EXTRA=ssl \
    with_ssl=openssl \
    prove --verbose t/003_pgtls_ext.pl || {
    find "$work" \( -name '*.log' -o -name 'regress_log_*' \) -exec tail -n 40 {} +
    exit 1
}
