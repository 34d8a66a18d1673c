#!/usr/bin/env bash
# Common misspellings, where codespell is installed (tools/deps.sh lint).
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v codespell >/dev/null; then
    echo "skipped: codespell is not installed"
    exit 0
fi
git ls-files -z --cached --others --exclude-standard -- ':!tests/fuzz/corpus' ':!models/*.onnx' \
    ':!*.json' ':!*.svg' | xargs -0 codespell --ignore-words-list=inout,nd,te,ot,fo,iff
