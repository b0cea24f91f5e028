#!/usr/bin/env bash
# Debian chroots for the PostgreSQL versions that the host's own release does not have.
#
#   scripts/chroot.sh create NN          make the chroot for PostgreSQL NN, or reuse a complete one
#   scripts/chroot.sh run NN COMMAND...  run COMMAND in it, in the source tree, with the host's Rust
#   scripts/chroot.sh where NN           "host", "chroot" or "registry" (scripts/pg16.sh): where
#                                        PostgreSQL NN is to be tested
#   scripts/chroot.sh exists NN          whether there is a complete chroot
#   scripts/chroot.sh path NN            where the chroot is
#   scripts/chroot.sh remove NN          delete it
#   scripts/chroot.sh mirror NN          which archive it is made from
#
# Environment: PGTLS_CACHE          directory of the chroots (/var/cache/pgtls_ext)
#              PGTLS_DEBIAN_MIRROR  Debian archive to use instead of the one the host's apt uses
#
# A chroot is only ever written by `create`. `run` works on a throw-away overlay inside a mount and
# process namespace of its own: whatever happens, nothing stays mounted, running or changed.
set -euo pipefail

self=$(readlink -f "$0")
source_dir=$(dirname "$(dirname "$self")")
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf '%s\n' "chroot: $*" >&2; }
die() { say "$*"; exit 1; }

# The one table of versions: a PostgreSQL major version and the Debian release that ships it. None
# ships 16, which scripts/pg16.sh makes.
suite_of() {
    case $1 in
    15) echo bookworm ;;
    16) echo registry ;;
    17) echo trixie ;;
    18 | 19) echo forky ;;
    *) die "no Debian release ships PostgreSQL $1: 15 to 19 can be tested" ;;
    esac
}

# A suite that has what the release itself does not have yet; nothing for most versions.
extra_suite_of() { if [ "$1" = 19 ]; then echo experimental; fi; }

# What is needed to build and to test, and no more: no clang and llvm headers (hook_bindgen says how
# bindgen is served), no recommended packages. The server's headers, which pgrx reads, name those of
# ICU.
packages_of() {
    echo "postgresql-$1" openssl ca-certificates \
        gcc libc6-dev make pkg-config libssl-dev libkrb5-dev libicu-dev libipc-run-perl
}

host_codename() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release; }

cache_dir() {
    if [ -n "${PGTLS_CACHE:-}" ]; then
        echo "$PGTLS_CACHE"
    elif [ "$(id -u)" = 0 ]; then
        echo /var/cache/pgtls_ext
    else
        echo "${XDG_CACHE_HOME:-$HOME/.cache}/pgtls_ext"
    fi
}

path_of() { echo "$(cache_dir)/pg$1-$(suite_of "$1")"; }

need_root() {
    [ "$(id -u)" = 0 ] ||
        die "chroots need root: run this as root, or test with the PostgreSQL version of this Debian release"
}

# Changes whenever this script would make another chroot, so that a stale one is made anew.
recipe_hash() {
    { suite_of "$1"; packages_of "$1"; declare -f extra_suite_of hook_pins hook_start hook_bindgen build; } |
        sha256sum | cut -c1-16
}

is_complete() { [ "$(cat "$(path_of "$1")/etc/pgtls-chroot" 2>/dev/null)" = "$(recipe_hash "$1")" ]; }

# The Debian archive that the host installs from serves the other releases too.
mirror() {
    local codename uri
    if [ -n "${PGTLS_DEBIAN_MIRROR:-}" ]; then
        echo "$PGTLS_DEBIAN_MIRROR"
        return
    fi
    codename=$(host_codename)
    # ORIGIN stays unexpanded while apt has no package lists; other vendors' archives say theirs.
    # shellcheck disable=SC2016  # apt expands these
    uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' \
        'Created-By: Packages' | awk -v codename="$codename" '
        ($2 == codename || $2 == "stable" || $2 == "testing" || $2 == "unstable") && $3 == "main" &&
        ($4 == "Debian" || $4 ~ /^\$/) { print $1; exit }')
    [ -n "$uri" ] ||
        die "no Debian archive in this machine's apt sources: set PGTLS_DEBIAN_MIRROR to one"
    echo "$uri"
}

# --- create ---------------------------------------------------------------------------------------

# Before apt looks at anything: apt takes nothing from experimental by itself. Here it takes
# PostgreSQL and its client library from where they are newest. $1 root, $2 version.
hook_pins() {
    local suite
    suite=$(extra_suite_of "$2")
    [ -n "$suite" ] || return 0
    mkdir -p "$1/etc/apt/preferences.d"
    printf 'Package: *postgresql*-%s libpq*\nPin: release a=%s\nPin-Priority: 500\n' "$2" "$suite" \
        >"$1/etc/apt/preferences.d/pgtls_ext"
}

# Before the packages: PostgreSQL's package shall not make a cluster of its own.
hook_start() {
    mkdir -p "$1/etc/postgresql-common"
    echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"
}

# After the packages: what bindgen needs. The server's development package depends on all of clang
# and llvm (700 MB), for inlining bitcode that nobody makes here. So its files are unpacked without
# its dependencies, and libclang comes with its own headers only. Everything that installs runs
# inside the chroot: apt called from outside would act on the host. $1 root, $2 version.
hook_bindgen() {
    local llvm
    llvm=$(chroot "$1" apt-cache depends libclang-dev |
        sed -n 's/.*Depends: libclang-\([0-9]*\)-dev.*/\1/p')
    [ -n "$llvm" ] || die "cannot tell which libclang this Debian release has"
    chroot "$1" apt-get install --yes "libclang1-$llvm" "libclang-common-$llvm-dev"
    # shellcheck disable=SC2016  # expanded inside
    chroot "$1" sh -ec '
        cd /tmp
        apt-get download -o APT::Sandbox::User=root "postgresql-server-dev-$1"
        dpkg-deb --extract postgresql-server-dev-*.deb unpacked
        rm -rf unpacked/usr/share/doc unpacked/usr/share/man postgresql-server-dev-*.deb
        cp -a unpacked/. /
        rm -r unpacked' sh "$2"
}

# $1 version, $2 directory to make. The dates of the archive are not checked: the clock of a test
# machine may be wrong, and what is installed is signed all the same.
build() {
    local suite extra packages
    local -a archives
    suite=$(suite_of "$1")
    extra=$(extra_suite_of "$1")
    packages=$(packages_of "$1")
    archives=("deb $(mirror) $suite main" ${extra:+"deb $(mirror) $extra main"})
    mmdebstrap --mode=root --variant=apt --format=directory \
        --keyring="$keyring" --include="${packages// /,}" \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --aptopt='Acquire::Check-Date "false"' \
        --aptopt='Acquire::Languages "none"' \
        --aptopt='Acquire::Retries "3"' \
        --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='force-unsafe-io' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --setup-hook="'$self' __hook_pins \"\$1\" $1" \
        --essential-hook="'$self' __hook_start \"\$1\"" \
        --customize-hook="'$self' __hook_bindgen \"\$1\" $1" \
        "$suite" "$2" "${archives[@]}"
}

create() {
    local root log new started
    root=$(path_of "$1")
    if is_complete "$1"; then
        say "PostgreSQL $1: reusing $root"
        return
    fi
    need_root
    command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: run scripts/setup-debian.sh chroot"
    [ -r "$keyring" ] || die "$keyring is missing: run scripts/setup-debian.sh chroot"
    mkdir -p "$(cache_dir)"
    exec 8>"$root.lock"
    flock 8
    if is_complete "$1"; then
        say "PostgreSQL $1: reusing $root, which was just made"
        return
    fi
    # Left by a run that was killed; safe to delete, since only the holder of the lock makes them.
    rm -rf --one-file-system "$root".new.*
    new=$root.new.$$ log=$root.log started=$SECONDS
    say "PostgreSQL $1: making $root (Debian $(suite_of "$1"); log: $log)"
    # shellcheck disable=SC2064  # the directory of now
    trap "rm -rf --one-file-system '$new'" EXIT
    if ! build "$1" "$new" >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        die "PostgreSQL $1: making the chroot failed (whole log: $log)"
    fi
    recipe_hash "$1" >"$new/etc/pgtls-chroot"
    rm -rf --one-file-system "$root"
    mv "$new" "$root"
    trap - EXIT
    say "PostgreSQL $1: made in $((SECONDS - started)) s, $(du -sxh "$root" | cut -f1)"
}

remove() {
    local root
    root=$(path_of "$1")
    need_root
    mkdir -p "$(cache_dir)"
    exec 8>"$root.lock"
    flock 8
    rm -rf --one-file-system "$root" "$root".new.* "$root.log"
    say "PostgreSQL $1: removed $root"
}

# --- run ------------------------------------------------------------------------------------------

run() {
    local version=$1 root toolchain cargo_home
    shift
    need_root
    root=$(path_of "$version")
    is_complete "$version" || die "PostgreSQL $version: no chroot yet: scripts/chroot.sh create $version"
    command -v rustc >/dev/null || die "rustc is not in PATH: install Rust with rustup"
    toolchain=$(cd "$source_dir" && rustc --print sysroot)
    [ "$toolchain" != /usr ] || die "the chroots need a Rust tool-chain from rustup, not the system's"
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    mkdir -p "$cargo_home"
    # Shared, against `remove`.
    exec 8>"$root.lock"
    flock --shared 8
    # The namespaces end with their first process, and everything in them. That one heeds no signal
    # that it does not handle, and unshare heeds none while it waits: so end it for good.
    local namespaces
    unshare --mount --propagation private --pid --fork --kill-child -- \
        "$self" __enter "$version" "$root" "$toolchain" "$cargo_home" "$@" <&0 &
    namespaces=$!
    # shellcheck disable=SC2064  # the number of now
    trap "kill -KILL $namespaces; exit 130" INT TERM HUP
    wait "$namespaces"
}

# Inside the namespaces: lay out the file system, then become the command.
enter() {
    local version=$1 root=$2 toolchain=$3 cargo_home=$4 layer new
    shift 4
    layer=$root.layer
    mkdir -p "$layer"
    mount -t tmpfs -o mode=0755 tmpfs "$layer"
    new=$layer/root
    mkdir "$layer/upper" "$layer/work" "$new"
    mount -t overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" overlay "$new"
    mkdir -p "$new"/{proc,dev,tmp,src,opt/rust,opt/cargo}
    mount -t proc proc "$new/proc"
    mount --bind /dev "$new/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$new/dev/shm"
    mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
    mount --bind "$source_dir" "$new/src"
    mount --bind "$cargo_home" "$new/opt/cargo"
    mount --bind "$toolchain" "$new/opt/rust"
    mount -o remount,bind,ro "$new/opt/rust"
    # PostgreSQL's own tests, if scripts/fetch-pg-source.sh got them: there is no fetching in here.
    local -a environment=()
    local pg_source=${PGTLS_PG_SOURCE:-$(cache_dir)/source-pg$version}
    if [ -d "$pg_source" ]; then
        mkdir -p "$new/opt/postgresql"
        mount --bind "$pg_source" "$new/opt/postgresql"
        mount -o remount,bind,ro "$new/opt/postgresql"
        environment+=(PGTLS_PG_SOURCE=/opt/postgresql)
    fi

    local pg_config=/usr/lib/postgresql/$version/bin/pg_config name value
    environment+=(
        HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}"
        PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/cargo/bin
        # Crates are fetched on the host, whose network settings the chroot need not know.
        CARGO_HOME=/opt/cargo CARGO_NET_OFFLINE=true
        PG="$version" PG_CONFIG="$pg_config" PGRX_PG_CONFIG_PATH="$pg_config"
        PGTLS_IN_CHROOT=1
    )
    for name in $(compgen -e); do
        case $name in
        PGTLS_IN_CHROOT | PGTLS_CACHE | PGTLS_STAGE | PGTLS_PG_SOURCE) ;;
        PGTLS_* | RUST_* | CARGO_TERM_* | CI)
            # A path in the source tree is one below /src inside.
            value=${!name}
            environment+=("$name=${value/#"$source_dir"/\/src}")
            ;;
        esac
    done
    cd "$new"
    # shellcheck disable=SC2016  # expanded inside
    # The shell had this ignore the signals of the keyboard, since it runs in the background.
    exec chroot "$new" /usr/bin/env --default-signal=INT,QUIT -i "${environment[@]}" /bin/sh -c 'cd /src && exec "$@"' sh "$@"
}

# --------------------------------------------------------------------------------------------------

where() {
    local suite
    if [ -x "/usr/lib/postgresql/$1/bin/pg_config" ]; then
        echo host
        return
    fi
    suite=$(suite_of "$1")
    case $suite in
    "$(host_codename)") echo host ;;
    registry) echo registry ;;
    *) echo chroot ;;
    esac
}

usage() {
    sed -n '2,/^set /s/^# \{0,1\}//p' "$self" >&2
    exit 2
}

main() {
    [ $# -ge 2 ] || usage
    local command=$1
    shift
    case $command in
    create | remove | where) "$command" "$1" ;;
    exists) is_complete "$1" ;;
    path) path_of "$1" ;;
    mirror) mirror ;;
    run) [ $# -ge 2 ] || usage; run "$@" ;;
    __enter) enter "$@" ;;
    __hook_pins) hook_pins "$1" "$2" ;;
    __hook_start) hook_start "$1" ;;
    __hook_bindgen) hook_bindgen "$1" "$2" ;;
    *) usage ;;
    esac
}

main "$@"
