#!/usr/bin/env bash
# The generated pages of docs/reference are up to date.
set -euo pipefail
exec "$(dirname "$0")/../docs.sh" --check
