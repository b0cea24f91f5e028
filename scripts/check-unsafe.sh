#!/usr/bin/env bash
# The extension's unsafe code is in src/pg and nowhere else. The compiler holds that fence
# (`deny(unsafe_code)`); this makes sure that nobody opens a gate in it.
#
# Tests are not part of the extension; those of them that call C directly do it in the files below.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."

tests_calling_c=(
    ./tests/src/sys.rs                        # signals, accounts, child processes
    ./crates/pgtls-core/tests/core/differential/pem.rs # its PEM reader, to compare with
    ./crates/pgtls-core/tests/core/reference.rs # what OpenSSL itself says, to compare with
)

sources() {
    find . -path ./target -prune -o -path ./fuzz/target -prune -o -path ./src/pg -prune -o \
        -name '*.rs' -print | grep -vxF "$(printf '%s\n' "${tests_calling_c[@]}")"
}

# The word in code: comments go, and `unsafe_code` is another word.
found=$(sources | while read -r file; do
    sed 's,//.*,,' "$file" | grep -nw unsafe | sed "s,^,$file:," || true
done)
gates=$(sources | xargs grep -nE '(allow|expect|warn)\([^)]*unsafe_code' | grep -v '^\./src/lib\.rs:' || true)
fence=$(grep -cE '^#!\[(deny|forbid)\(.*unsafe_code' src/lib.rs || true)

status=0
if [ -n "$found" ]; then
    printf 'unsafe outside src/pg:\n%s\n' "$found" >&2
    status=1
fi
if [ -n "$gates" ]; then
    printf 'unsafe_code allowed outside src/lib.rs:\n%s\n' "$gates" >&2
    status=1
fi
if [ "$fence" = 0 ]; then
    echo "src/lib.rs does not deny unsafe_code" >&2
    status=1
fi
[ "$status" != 0 ] || echo "no unsafe outside src/pg"
exit "$status"
