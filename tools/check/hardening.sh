#!/usr/bin/env bash
# tools/check/hardening.sh [PROGRAM]: the ELF program is hardened as CMake asked for.
#
# Position independent, full RELRO, no executable stack, no writable and executable segment, stack
# canaries, fortified calls, control-flow protection, no text relocations, no search for libraries in
# the current folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=${1:-build/release/inferd}
if [ ! -x "$program" ] && [ $# -eq 0 ]; then
    echo "skipped: $program is not built"
    exit 0
fi
bad=0
# want TEXT COMMAND...: the command succeeds, or TEXT is missing from the program.
want() {
    local text=$1
    shift
    "$@" || {
        echo "$program: $text"
        bad=1
    }
}
has() { grep -Eq -e "$1" <<<"$2"; }
lacks() { ! grep -Eq -e "$1" <<<"$2"; }

header=$(readelf --wide --file-header "$program")
segments=$(readelf --wide --program-headers "$program")
dynamic=$(readelf --wide --dynamic "$program")
symbols=$(readelf --wide --dyn-syms "$program")
code=$(objdump --disassemble=main --no-show-raw-insn "$program")

want 'not position independent' has 'Type: +DYN' "$header"
want 'not marked as position independent' has '\(FLAGS_1\).*\bPIE\b' "$dynamic"
want 'no RELRO segment' has 'GNU_RELRO' "$segments"
want 'no immediate binding (full RELRO)' has '\(FLAGS(_1)?\).*\b(BIND_)?NOW\b' "$dynamic"
want 'executable stack' has 'GNU_STACK.* RW +0x' "$segments"
want 'a segment that is writable and executable' lacks 'LOAD.* RWE ' "$segments"
want 'text relocations' lacks 'TEXTREL' "$dynamic"
want 'no stack canaries' has '__stack_chk_fail' "$symbols"
want 'no fortified calls' has '__[a-z0-9_]+_chk(@|$)' "$symbols"
want 'a library search path with an empty element (the current folder)' \
    lacks 'R(UN)?PATH.*(\[:|::|:\])' "$dynamic"
# The program as a whole is marked only where the C library's start files are, which Debian's are
# not: look for the landing pads in our own code.
case "$(uname -m)" in
x86_64) want 'no control-flow protection (endbr64)' has 'endbr64' "$code" ;;
aarch64) want 'no branch protection (bti, paciasp)' has 'bti|paciasp' "$code" ;;
esac
[ "$bad" -eq 0 ] || exit 1
echo "$program"
