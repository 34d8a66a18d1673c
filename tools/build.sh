#!/usr/bin/env bash
# tools/build.sh [PRESET]...: configures and builds presets of CMakePresets.json (default: release).
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || set -- release
for preset in "$@"; do
    build_preset "$preset" || die "build/$preset did not build (see above)"
done
