#!/usr/bin/env bash
# What may be in the lock files. The two rules that matter most are looked for here, so that they
# hold on every machine; where cargo-deny is installed, it checks all of deny.toml. It is not
# installed for this: compiling it takes longer than all of `make lint`.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
registry='registry+https://github.com/rust-lang/crates.io-index'
status=0

for lock in Cargo.lock fuzz/Cargo.lock; do
    if grep -qx 'name = "openssl-src"' "$lock"; then
        echo "$lock: openssl-src: the extension has to use the server's own libssl" >&2
        status=1
    fi
    if grep '^source = ' "$lock" | grep -vxF "source = \"$registry\""; then
        echo "$lock: a source other than crates.io, see above" >&2
        status=1
    fi
done

if cargo deny --version >/dev/null 2>&1; then
    cargo deny --log-level error --offline check --hide-inclusion-graph licenses bans sources || status=1
else
    echo "cargo-deny is not installed: licences and wildcards were not checked" \
        "(cargo install --locked cargo-deny)"
fi
[ "$status" != 0 ] || echo "the lock files hold nothing that is banned"
exit "$status"
