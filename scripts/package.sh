#!/usr/bin/env bash
# Makes dist/pgtls_ext-VERSION-pgNN.tar.gz and dist/postgresql-NN-pgtls-ext_VERSION_ARCH.deb of the
# release build, for PG_CONFIG's PostgreSQL. Called by `make package`.
#
#   scripts/package.sh VERSION NN
#
# The library shares OpenSSL objects with the server, so a package is good for the Debian release it
# was made on only: its dependencies are read off what the library is linked with.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
version=$1 postgresql=$2
name=postgresql-$postgresql-pgtls-ext
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/$name

# The packages of the libraries that file $1 names as needed, one a line.
libraries_of() {
    local library path
    objdump -p "$1" | awk '$1 == "NEEDED" { print $2 }' | while read -r library; do
        path=$(ldd "$1" | awk -v library="$library" '$1 == library || $1 ~ "/" library "$" {
            print $2 == "=>" ? $3 : $1 }')
        # Debian's /lib is a link into /usr, and packages say either.
        dpkg-query --search "$(readlink -f "$path")" "$path" 2>/dev/null |
            sed -n '/^diversion by/d; s/:.*//p'
    done | sort -u
}

# "libc6 (>= 2.36), …": no older than what the build was linked with, up to the upstream version.
dependencies_of() {
    local package upstream
    printf 'postgresql-%s' "$postgresql"
    libraries_of "$1" | while read -r package; do
        # shellcheck disable=SC2016  # dpkg-query expands it
        upstream=$(dpkg-query --show --showformat='${source:Upstream-Version}\n' "$package" | head -n 1)
        printf ', %s (>= %s)' "$package" "$upstream"
    done
}

make --no-print-directory install PG_CONFIG="$PG_CONFIG" DESTDIR="$tree"
library=$tree$("$PG_CONFIG" --pkglibdir)/pgtls_ext.so
# What only tests may have: see src/pg/memory.rs.
if grep -q debug_fail_allocation "$library"; then
    echo "$library refuses allocations when told to: not a release build" >&2
    exit 1
fi
strip --strip-unneeded "$library"
documents=$tree/usr/share/doc/$name
install -d "$documents"
install -m 644 LICENSE "$documents/copyright"
for document in README.md CHANGELOG.md; do
    [ ! -e "$document" ] || install -m 644 "$document" "$documents/"
done

mkdir -p dist
# Same sources, same archive: no owners, no times of this machine. Only set here, since crates that
# have C code are compiled anew whenever it changes.
export SOURCE_DATE_EPOCH=${PGTLS_EPOCH:-$(date +%s)}
archive=dist/pgtls_ext-$version-pg$postgresql.tar.gz
tar -c -C "$tree" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" usr |
    gzip -n9 >"$archive"
echo "made $archive"

if ! command -v dpkg-deb >/dev/null; then
    echo "no dpkg-deb here: no Debian package"
    exit 0
fi
architecture=$(dpkg --print-architecture)
install -d "$tree/DEBIAN"
cat >"$tree/DEBIAN/control" <<EOF
Package: $name
Version: $version
Architecture: $architecture
Maintainer: pgtls_ext maintainers <pgtls_ext@localhost>
Section: database
Priority: optional
Depends: $(dependencies_of "$library")
Installed-Size: $(du -sk "$tree/usr" | cut -f1)
Description: TLS in PostgreSQL, visible, checkable and explainable from SQL
 Answers from SQL, inside a PostgreSQL $postgresql server, who is connected over TLS, how,
 with which certificate and by which rule: a superset of contrib/sslinfo.
EOF
package=dist/${name}_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$tree" "$package" >/dev/null
echo "made $package"
