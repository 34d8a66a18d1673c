#!/usr/bin/env python3
"""A layer includes only the layers, and only the libraries, on its line of CMakeLists.txt.

Also: includes of ours are written "layer/module.h", name a file that exists, and every header
has #pragma once.
"""
import re

from common import ROOT, finish, sources, where

# Which header belongs to which library of an inferd_layer() line. Others are the C library's.
LIBRARY_OF = [
    (r"uv\.h|uv/.*", "inferd::uv"),
    (r"llhttp\.h", "inferd::llhttp"),
    (r"openssl/.*", "OpenSSL::"),
    (r"nghttp2/.*", "inferd::nghttp2"),
    (r"curl/.*", "inferd::curl"),
    (r"yaml\.h", "inferd::yaml"),
    (r"yyjson\.h", "inferd::yyjson"),
    (r"zlib\.h", "ZLIB::ZLIB"),
    (r"onnxruntime.*", "inferd::onnxruntime"),
    (r"protobuf-c/.*", "inferd::protobuf_c"),
    (r".*\.pb-c\.h|proto_descriptors\.h", "inferd::proto"),
    (r"pthread\.h|threads\.h|semaphore\.h", "Threads::Threads"),
]
GENERATED = {"inferd_version.h"}


def declared_layers():
    """{layer: (layers it may use, libraries it links)} from the inferd_layer() lines."""
    text = (ROOT / "CMakeLists.txt").read_text()
    table = {}
    for name, rest in re.findall(r"^inferd_layer\((\w+)([^)]*)\)", text, re.M):
        layers, libraries = re.fullmatch(
            r"\s*(?:LAYERS([\w\s]*?))?\s*(?:LIBRARIES([\w:\s]*))?\s*", rest, re.S).groups()
        table[name] = ({name, *(layers or "").split()}, (libraries or "").split())
    return table


def check_include(path, number, kind, target, table, findings):
    layer = path.relative_to(ROOT).parts[1]
    layers, libraries = table[layer]
    if kind == '"':
        if target in GENERATED:
            return
        used = target.split("/")[0]
        if used not in table or not (ROOT / "src" / target).is_file():
            findings.append(f'{where(path, number)}: "{target}" is not a "layer/module.h" of src/')
        elif used not in layers:
            findings.append(f"{where(path, number)}: layer {layer} may not use layer {used}")
        return
    for pattern, library in LIBRARY_OF:
        if re.fullmatch(pattern, target) and not any(l.startswith(library) for l in libraries):
            findings.append(f"{where(path, number)}: layer {layer} does not link {library}")


def main():
    table, findings, count = declared_layers(), [], 0
    for path in sources("src"):
        if path.relative_to(ROOT).parts[1] not in table:
            findings.append(f"{where(path, 1)}: not in a layer of CMakeLists.txt")
            continue
        text = path.read_text()
        if path.suffix == ".h" and "#pragma once" not in text:
            findings.append(f"{where(path, 1)}: no #pragma once")
        for number, line in enumerate(text.splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if match:
                count += 1
                check_include(path, number, *match.groups(), table, findings)
    finish(findings, f"{count} includes in {len(table)} layers")


main()
