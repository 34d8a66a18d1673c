#!/usr/bin/env bash
# tools/lint.sh [--format]: every linter that is not a test, over everything that git tracks.
# --format rewrites the C sources in place instead. Needs tools/deps.sh lint.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$TREE"
mkdir -p "$BUILD" "$REPORTS"
CLANG_FORMAT=$(tools/deps.sh venv-lint)/bin/clang-format

tracked() { git ls-files -z --cached --others --exclude-standard -- "$@"; }

clang_format() { tracked '*.c' '*.h' | xargs -0 -r "$CLANG_FORMAT" --dry-run -Werror; }

clang_tidy() {
    # The compilation database is gcc's: clang does not know all of its options.
    tracked 'src/*.c' | xargs -0 -r -n 4 -P "$JOBS" clang-tidy --quiet -p build/dev \
        --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-unused-command-line-argument \
        --extra-arg=-Wno-format-nonliteral --extra-arg=-ftrivial-auto-var-init=uninitialized \
        2> >(grep -v -e 'warnings\? generated' -e '^Suppressed' >&2)
}

cppcheck_sources() {
    local prefix
    prefix=$(tools/deps.sh prefix)
    cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
        --error-exitcode=1 -j "$JOBS" --suppress=missingIncludeSystem \
        --suppress='*:'"$prefix"'/*' -D_GNU_SOURCE -D__linux__ -I src -I build/dev/generated src
}

analyzer() {
    cmake --preset analyze -DINFERD_WERROR=ON >"$BUILD/configure-analyze.log" 2>&1 || {
        cat "$BUILD/configure-analyze.log"
        return 1
    }
    cmake --build build/analyze --parallel "$JOBS" -- --quiet
}

shell_scripts() {
    tracked | xargs -0 grep -lIE -m1 '^#!.*\b(bash|sh)$' 2>/dev/null | xargs -r shellcheck -x
}

yaml_files() { tracked '*.yml' '*.yaml' | xargs -0 -r yamllint --strict; }

spelling() { tools/check/spelling.sh; }

if [ "${1:-}" = --format ]; then
    say "formatting the C sources"
    tracked '*.c' '*.h' | xargs -0 -r "$CLANG_FORMAT" -i
    exit 0
fi

build_preset dev || die "build/dev did not build (see above)"
failed=()
cases=''
for linter in clang_format shell_scripts yaml_files spelling cppcheck_sources clang_tidy analyzer; do
    if output=$("$linter" 2>&1); then
        say "$linter: ok"
        cases+="<testcase classname=\"lint\" name=\"$linter\"/>"
    else
        printf '%s\n' "$output"
        say "$linter: FAILED"
        failed+=("$linter")
        cases+="<testcase classname=\"lint\" name=\"$linter\"><failure/></testcase>"
    fi
done
echo "<testsuite name=\"lint\">$cases</testsuite>" >"$REPORTS/lint.xml"
[ "${#failed[@]}" -eq 0 ] || die "failed: ${failed[*]}"
