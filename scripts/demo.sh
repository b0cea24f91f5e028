#!/usr/bin/env bash
# The demonstration, for PG_CONFIG's server with the extension staged below PGTLS_STAGE. Called by
# `make demo`. KEEP=1 leaves the server up and says how to connect.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
exec cargo run --quiet -p pgtls-e2e --bin demo
