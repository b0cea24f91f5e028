#!/usr/bin/env bash
# cargo for this workspace.
#
#   scripts/cargo.sh build|test|run|bench|clippy|check ARGUMENT...
#
# pgrx asks for a newer Rust than it needs. rust-version in Cargo.toml is the oldest that builds
# this workspace, pgrx included, and scripts/setup-debian.sh checks it; so cargo is told not to ask
# again.
set -euo pipefail

command=$1
shift
exec cargo "$command" --ignore-rust-version "$@"
