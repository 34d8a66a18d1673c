#!/usr/bin/env bash
# tools/docs.sh [--check]: writes the pages of docs/reference that are views of the server's tables.
# With --check it writes nothing, and fails when a page is not what it would write.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$TREE"
mode=${1:-write}
program=build/release/inferd
# Written by the program itself, and by tools/reference.
of_program=(configuration.md model.md metrics.md configuration.schema.json)
of_tables=(errors.md routes.md)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
stale=0
pages=0

# page FILE COMMAND...: FILE of docs/reference is what the command prints.
page() {
    local file=docs/reference/$1
    shift
    "$@" >"$scratch/page" || die "'$*' failed"
    pages=$((pages + 1))
    if cmp -s "$scratch/page" "$file"; then
        return
    fi
    if [ "$mode" = --check ]; then
        echo "$file:1: does not show the tables of src/: run make docs"
        stale=1
    else
        mkdir -p docs/reference
        cp "$scratch/page" "$file"
        say "wrote $file"
    fi
}

gcc -std=c17 -O0 -Wall -Wextra -Isrc -o "$scratch/reference" tools/reference/reference.c ||
    die "tools/reference/reference.c does not compile (see above)"
for file in "${of_tables[@]}"; do
    page "$file" "$scratch/reference" "${file%.md}"
done
if [ -x "$program" ]; then
    for file in "${of_program[@]}"; do
        name=${file%.*}
        page "$file" "$program" docs "${name/configuration.schema/schema}"
    done
elif [ "$mode" != --check ]; then
    die "$program is not built: run make build"
fi
[ "$stale" -eq 0 ] || exit 1
[ "$mode" != --check ] || echo "$pages pages"
