# shellcheck shell=bash
# Shared by the scripts of this folder: where things are, and how they speak.

TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$TREE/build
# shellcheck disable=SC2034 # read by the scripts that source this file
REPORTS=$BUILD/reports
JOBS=${JOBS:-$(nproc)}
export PYTHONDONTWRITEBYTECODE=1

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*"; }
die() {
    printf '%s: error: %s\n' "$(basename "$0" .sh)" "$*" >&2
    exit 1
}

# Configures (quietly) and builds one preset.
build_preset() {
    local preset=$1 werror=OFF log=$BUILD/configure-$1.log
    [ "${CI:-}" != true ] || werror=ON
    mkdir -p "$BUILD"
    say "building build/$preset"
    if ! (cd "$TREE" && cmake --preset "$preset" -DINFERD_WERROR=$werror >"$log" 2>&1); then
        cat "$log" >&2
        return 1
    fi
    (cd "$TREE" && cmake --build "build/$preset" --parallel "$JOBS" -- --quiet -k 0)
}
