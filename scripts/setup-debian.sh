#!/usr/bin/env bash
# Installs, on Debian, what the project needs and this machine does not have.
#
#   scripts/setup-debian.sh [GROUP...]
#
# Groups: build   to build and test with the PostgreSQL of this Debian release (the default)
#         check   what `make check` needs beyond that
#         fuzz    what `make fuzz` needs beyond that
#         chroot  what makes the chroots of the other PostgreSQL versions
#         registry  what fetches PostgreSQL 16, which no Debian release has
#         source  what unpacks PostgreSQL's own tests
#         cassert  what builds PostgreSQL from its source
#         pooler  PgBouncer, below target/ and not into the system: its package would start a service
#         exporters  Prometheus and two exporters, there as well
#
# Environment: PG                 PostgreSQL major version (15)
#              PGTLS_INSTALL_LOG  where to write what apt-get prints (default: the standard output)
#
# Does nothing, and needs no rights, when nothing is missing.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
postgresql=${PG:-15}

say() { printf '%s\n' "setup: $*"; }
die() { printf '%s\n' "setup: $*" >&2; exit 1; }

packages_of() {
    case $1 in
    build)
        echo gcc libc6-dev make pkg-config openssl ca-certificates
        echo libssl-dev libclang-dev libkrb5-dev
        rust_packages build
        if [ "$("$here/chroot.sh" where "$postgresql")" = host ]; then
            echo "postgresql-$postgresql" "postgresql-server-dev-$postgresql"
        fi
        ;;
    check)
        echo shellcheck
        rust_packages check
        ;;
    fuzz) echo g++ ;;
    chroot) echo mmdebstrap debian-archive-keyring util-linux mount ;;
    registry)
        echo debian-archive-keyring dpkg tar sed
        # Those of another vendor will do.
        command -v python3 >/dev/null || echo python3
        command -v pip3 >/dev/null || echo python3-pip
        command -v npm >/dev/null || echo npm
        ;;
    source) echo dpkg-dev libipc-run-perl perl ;;
    cassert) echo bison flex perl libldap-dev ;;
    *) die "no such group: $1" ;;
    esac
}

is_installed() {
    # shellcheck disable=SC2016  # dpkg-query expands it
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_packages() {
    local package
    for package in "$@"; do
        is_installed "$package" || echo "$package"
    done
    # Keyrings older than Debian 13 cannot verify the archive that its chroot comes from.
    case " $* " in
    *" debian-archive-keyring "*)
        [ -e /usr/share/keyrings/debian-archive-trixie-automatic.gpg ] || echo debian-archive-keyring
        ;;
    esac
}

# The oldest Rust that builds this workspace.
wanted_rust() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$here/../Cargo.toml" | head -n 1; }

has_rust() { command -v cargo >/dev/null && command -v rustc >/dev/null; }

# Whether the tool-chain is Debian's, of which missing parts can be installed.
has_debian_rust() { is_installed rustc-web; }

# Debian has a current Rust beside the one of its release, under these names. It is installed only
# where there is none: a tool-chain that is there is the user's choice. $1: build or check.
rust_packages() {
    if has_rust && ! has_debian_rust; then return; fi
    # pgrx formats what it generates.
    case $1 in
    build) echo cargo-web rustc-web rustfmt-web ;;
    check) echo rust-web-clippy ;;
    esac
}

check_rust() {
    local wanted have component
    wanted=$(wanted_rust)
    has_rust || die "cargo and rustc are missing: install Rust $wanted or newer, and have it in PATH"
    have=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$wanted" "${have%%-*}" | sort -V | head -n 1)" = "$wanted" ] ||
        die "rustc $have in $(command -v rustc) is too old: $wanted or newer is needed." \
            "If it comes from rustup, run 'rustup update stable'; if it comes from Debian, run" \
            "'apt-get install cargo-web rustc-web rustfmt-web' with the security archive enabled"
    for component in "$@"; do
        cargo "$component" --version >/dev/null 2>&1 ||
            die "cargo $component is missing: rustup component add ${component/fmt/rustfmt}"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        return 1
    fi
}

# Whether as_root will work; sudo may ask for a password here, or know nothing of this user.
may_be_root() { [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo true; }; }

# Debian's package makes and starts a cluster when it is first installed; nobody asked for one.
# A machine that already has PostgreSQL keeps its own settings.
prevent_main_cluster() {
    local settings=/etc/postgresql-common/createcluster.conf
    if is_installed "postgresql-$postgresql" || [ -e "$settings" ]; then
        return
    fi
    as_root sh -c "mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >$settings"
    say "wrote $settings: no cluster is made when PostgreSQL is installed"
}

# $1: names to install. All packages of the groups are named, not only the missing ones: server and
# headers then come in one version.
install_packages() {
    local -a options=(--yes --no-install-recommends -o Dpkg::Options::=--force-confold)
    say "missing: $(missing_packages "$@" | tr '\n' ' ')"
    may_be_root || die "not root, and no sudo. As root, run:" \
        "apt-get update && apt-get install ${options[0]} ${options[1]} $*"
    case " $* " in
    *" postgresql-"*) prevent_main_cluster ;;
    esac
    if [ -n "${PGTLS_INSTALL_LOG:-}" ]; then
        say "installing them, minutes at the first time (see $PGTLS_INSTALL_LOG)"
        apt_install "${options[@]}" "$@" >>"$PGTLS_INSTALL_LOG" 2>&1 || {
            tail -n 20 "$PGTLS_INSTALL_LOG" >&2
            die "apt-get could not install them"
        }
    else
        apt_install "${options[@]}" "$@"
    fi
}

apt_install() {
    # Other vendors' archives may fail to answer; the install tells whether that matters.
    as_root apt-get update -o Acquire::Retries=3 -q ||
        say "apt-get update reported errors; trying to install all the same"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -o Acquire::Retries=3 "$@"
}

# The tool-chain is new enough, and has what these groups need of it.
check_groups() {
    local group
    for group in "$@"; do
        case $group in
        build) check_rust ;;
        check) check_rust fmt clippy ;;
        esac
    done
}

# Needs no rights, and never fails: the demonstration does without it and says so.
fetch_pooler() {
    local -a names
    if [ -x /usr/sbin/pgbouncer ]; then return; fi
    # The package, and of what it depends on that which is not installed.
    mapfile -t names < <(apt-get install --simulate --no-install-recommends pgbouncer 2>/dev/null |
        awk '$1 == "Inst" { print $2 }')
    unpack pgbouncer usr/sbin/pgbouncer "${names[@]}" ||
        say "PgBouncer cannot be had here: the demonstration goes without a pooler"
}

# Exporters and Prometheus: programs without dependencies but the C library.
fetch_exporters() {
    unpack exporters usr/bin/prometheus \
        prometheus prometheus-postgres-exporter prometheus-sql-exporter ||
        say "Prometheus and its exporters cannot be had here: they are not tested"
}

# Unpacks packages below target/$1, where they install and start nothing, unless $2 is there.
unpack() {
    local root=$here/../target/$1 program=$2
    shift 2
    if [ -x "$root/$program" ]; then return; fi
    rm -rf "$root" "$root.draft"
    mkdir -p "$root.draft"
    if [ $# -gt 0 ] && (
        cd "$root.draft"
        apt-get download -q -o Acquire::Retries=3 "$@" || exit 1
        for package in *.deb; do dpkg-deb --extract "$package" . || exit 1; done
        rm -f ./*.deb
    ) >>"${PGTLS_INSTALL_LOG:-/dev/stderr}" 2>&1; then
        mv "$root.draft" "$root"
    else
        rm -rf "$root.draft"
        return 1
    fi
}

main() {
    local -a groups=("$@") packages
    local group
    # A chroot is made complete, from packages other than these.
    [ -z "${PGTLS_IN_CHROOT:-}" ] || exit 0
    case $* in
    pooler | exporters)
        if command -v apt-get >/dev/null; then "fetch_$1"; fi
        exit 0
        ;;
    esac
    [ $# -gt 0 ] || groups=(build)
    if has_rust && ! has_debian_rust; then check_groups "${groups[@]}"; fi
    if ! command -v apt-get >/dev/null; then
        say "this is not Debian: install by your own means what this script lists under packages_of"
        check_groups "${groups[@]}"
        exit 0
    fi
    mapfile -t packages < <(for group in "${groups[@]}"; do packages_of "$group"; done | tr ' ' '\n')
    if [ -z "$(missing_packages "${packages[@]}")" ]; then
        check_groups "${groups[@]}"
        say "nothing is missing (${groups[*]})"
        exit 0
    fi
    install_packages "${packages[@]}"
    [ -z "$(missing_packages "${packages[@]}")" ] ||
        die "still missing: $(missing_packages "${packages[@]}" | tr '\n' ' ')"
    check_groups "${groups[@]}"
    say "installed"
}

main "$@"
