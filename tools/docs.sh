#!/usr/bin/env bash
# tools/docs.sh [--check]: writes the pages of docs/reference that are views of the server's tables.
# With --check it writes nothing, and fails when a page is not what it would write.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$TREE"
mode=${1:-write}
pages=(metrics errors routes)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
gcc -std=c17 -O0 -Wall -Wextra -Isrc -o "$scratch/reference" tools/reference/reference.c ||
    die "tools/reference/reference.c does not compile (see above)"

stale=0
for page in "${pages[@]}"; do
    file=docs/reference/$page.md
    "$scratch/reference" "$page" >"$scratch/$page.md"
    if cmp -s "$scratch/$page.md" "$file"; then
        continue
    fi
    if [ "$mode" = --check ]; then
        echo "$file:1: does not show the tables of src/: run make docs"
        stale=1
    else
        mkdir -p docs/reference
        cp "$scratch/$page.md" "$file"
        say "wrote $file"
    fi
done
[ "$stale" -eq 0 ] || exit 1
[ "$mode" != --check ] || echo "${#pages[@]} pages"
