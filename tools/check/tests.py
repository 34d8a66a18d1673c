#!/usr/bin/env python3
"""The tests mirror the sources: each unit test names a layer, each fuzz target has a corpus."""
import re

from common import ROOT, finish


def main():
    findings = []
    layers = {p.name for p in (ROOT / "src").iterdir() if p.is_dir()}
    units = sorted((ROOT / "tests/unit").glob("*/test_*.c"))
    targets = sorted((ROOT / "tests/fuzz").glob("fuzz_*.c"))
    for path in units:
        if path.parent.name not in layers:
            findings.append(f"{path.relative_to(ROOT)}: no layer of that name in src/")
        if re.search(r'#\s*include\s*"[^"]*\.c"', path.read_text()):
            findings.append(f"{path.relative_to(ROOT)}: includes a .c file")
    for path in targets:
        corpus = ROOT / "tests/fuzz/corpus" / path.stem.removeprefix("fuzz_")
        if not corpus.is_dir() or not any(corpus.iterdir()):
            findings.append(f"{path.relative_to(ROOT)}: no {corpus.relative_to(ROOT)}/")
    finish(findings, f"{len(units)} unit tests, {len(targets)} fuzz targets")


main()
