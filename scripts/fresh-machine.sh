#!/usr/bin/env bash
# Runs a command of the README as a newcomer would: on a Debian 12 that has git and make and nothing
# else, in a fresh clone.
#
#   scripts/fresh-machine.sh [--as WHO] COMMAND...
#
# WHO is `sudoer`, an ordinary user with sudo (the default), `root`, or `user`, who is neither.
#
# The machine is a chroot that is made for this run and removed after it. It installs from the
# archives that the host installs from. Needs root. Exits with 75 if the chroot cannot be made, else
# as COMMAND.
set -euo pipefail

source_dir=$(dirname "$(dirname "$(readlink -f "$0")")")
say() { printf '%s\n' "fresh-machine: $*" >&2; }
unavailable() { say "$*"; exit 75; }

[ "$(id -u)" = 0 ] || { say "this needs root"; exit 1; }

who=sudoer
if [ "${1-}" = --as ]; then
    who=$2
    shift 2
fi
case $who in
sudoer | user) account=newcomer home=/home/newcomer ;;
root) account=root home=/root ;;
*) say "--as $who: not sudoer, root or user"; exit 2 ;;
esac

# The host's sources of Debian 12, in the form of one line each.
archives() {
    # shellcheck disable=SC2016  # apt expands these
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk '$2 ~ /^bookworm/ && $3 == "main" && $1 ~ /\/debian(-security)?\/?$/ { print "deb", $1, $2, $3 }' |
        sort -u
}

work=$(mktemp -d /var/tmp/pgtls-fresh-XXXXXX)
root=$work/root
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM HUP

mapfile -t lines < <(archives)
[ ${#lines[@]} -gt 0 ] || unavailable "this machine has no archive of Debian 12 in its apt sources"
say "making a bare Debian 12"
mmdebstrap --mode=root --variant=important --format=directory --include=git,make,sudo,ca-certificates \
    --aptopt='Acquire::Retries "3"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='force-unsafe-io' \
    bookworm "$root" "${lines[@]}" >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    unavailable "the chroot cannot be made"
}

# What a machine on this network has: the resolver, and certificates that the network's owner adds.
cp /etc/resolv.conf /etc/hosts "$root/etc/"
if [ -d /usr/local/share/ca-certificates ]; then
    cp -R /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
    chroot "$root" update-ca-certificates >/dev/null 2>&1
fi
chroot "$root" useradd --create-home --shell /bin/bash newcomer
if [ "$who" = sudoer ]; then
    echo 'newcomer ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/newcomer"
fi
git clone --quiet --no-hardlinks "$source_dir" "$root$home/pgtls_ext"
chroot "$root" chown -R "$account:" "$home/pgtls_ext"

started=$SECONDS status=0
# Namespaces of its own: whatever the command leaves running or mounted ends with it.
# shellcheck disable=SC2016  # expanded inside
unshare --mount --propagation private --pid --fork --kill-child -- bash -euc '
    root=$1 account=$2 home=$3
    shift 3
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    exec chroot "$root" /usr/bin/env -i HOME="$home" USER="$account" LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        setpriv --reuid="$account" --regid="$account" --init-groups \
        sh -c "cd ~/pgtls_ext && exec \"\$@\"" sh "$@"
' bash "$root" "$account" "$home" "$@" </dev/null || status=$?
say "'$*' as $who took $((SECONDS - started)) s and ended with $status"
exit "$status"
