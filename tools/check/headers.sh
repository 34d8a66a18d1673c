#!/usr/bin/env bash
# Every header of src/ compiles on its own, in any order of includes.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=$(tools/deps.sh prefix)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
printf '#define INFERD_VERSION ""\n#define INFERD_COMMIT ""\n' >"$scratch/inferd_version.h"

check_header() {
    gcc -x c -std=c17 -D_GNU_SOURCE -fsyntax-only -Wall -Wextra -Isrc -I"$1" \
        -isystem "$2/include" -isystem "$2/include/onnxruntime" - <<<"#include \"$3\"" ||
        { echo "src/$3: does not compile on its own"; return 1; }
}
export -f check_header
mapfile -t headers < <(cd src && find . -name '*.h' -printf '%P\n' | sort)
if [ "${#headers[@]}" -gt 0 ]; then
    printf '%s\0' "${headers[@]}" |
        xargs -0 -P "$(nproc)" -I{} bash -c 'check_header "$@"' _ "$scratch" "$prefix" {}
fi
echo "${#headers[@]} headers"
