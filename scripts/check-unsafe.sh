#!/usr/bin/env bash
# The extension's unsafe code is in src/pg and nowhere else. The compiler holds that fence
# (`deny(unsafe_code)`); this makes sure that nobody opens a gate in it.
#
# One file of the test harness may call the operating system: tests/src/sys.rs. It is not part of
# the extension.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."

sources() {
    find build.rs src crates tests fuzz -name '*.rs' -not -path 'src/pg/*' -not -path '*/target/*' 2>/dev/null |
        grep -vx 'tests/src/sys.rs'
}

# The word in code: comments go, and `unsafe_code` is another word.
found=$(sources | while read -r file; do
    sed 's,//.*,,' "$file" | grep -nw unsafe | sed "s,^,$file:," || true
done)
gates=$(sources | xargs grep -nE '(allow|expect|warn)\([^)]*unsafe_code' | grep -v '^src/lib\.rs:' || true)
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
