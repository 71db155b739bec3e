# SPDX-License-Identifier: Apache-2.0
# Generates error_code.h and error_catalog.cpp from errors.yaml: generate_errors.py YAML OUT_DIR
import os
import re
import sys

import yaml

GRPC = ("OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED "
        "RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS "
        "UNAUTHENTICATED").split()


def camel(code):
    return "k" + "".join(w.capitalize() for w in code.split("_"))


def literal(s):
    return '"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"'


source, out = sys.argv[1], sys.argv[2]
with open(source, encoding="utf-8") as f:
    catalog = yaml.safe_load(f)
for code, e in catalog.items():
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{1,61}[A-Z0-9]", code):
        sys.exit(f"errors.yaml: {code} is not upper snake case")
    for part in ("title", "detail"):
        for language in ("zh", "en"):
            if not e.get(part, {}).get(language):
                sys.exit(f"errors.yaml: {code} lacks {part}.{language}")
    if e["grpc"] not in GRPC:
        sys.exit(f"errors.yaml: {code} has the unknown gRPC code {e['grpc']}")
    if set(re.findall(r"\{(\w+)\}", e["detail"]["zh"])) != set(re.findall(r"\{(\w+)\}", e["detail"]["en"])):
        sys.exit(f"errors.yaml: {code} names different parameters in zh and en")

os.makedirs(out, exist_ok=True)
with open(os.path.join(out, "error_code.h"), "w", encoding="utf-8") as f:
    f.write("// Generated from common/base/errors.yaml.\n#pragma once\n\n#include <cstdint>\n\nnamespace millrace {\n\n")
    f.write("enum class ErrorCode : uint16_t {\n")
    for code in catalog:
        f.write(f"  {camel(code)},\n")
    f.write("};\n\n")
    f.write(f"inline constexpr int kErrorCodeCount = {len(catalog)};\n\n}}  // namespace millrace\n")
with open(os.path.join(out, "error_catalog.cpp"), "w", encoding="utf-8") as f:
    f.write('// Generated from common/base/errors.yaml.\n#include "common/base/error.h"\n\nnamespace millrace {\n\n')
    f.write("const ErrorEntry kErrorCatalog[kErrorCodeCount] = {\n")
    for code, e in catalog.items():
        f.write(f"    {{ErrorCode::{camel(code)}, {literal(code)}, {e['http']}, {GRPC.index(e['grpc'])}, "
                f"{literal(e['title']['zh'])}, {literal(e['title']['en'])}, "
                f"{literal(e['detail']['zh'])}, {literal(e['detail']['en'])}}},\n")
    f.write("};\n\n}  // namespace millrace\n")
