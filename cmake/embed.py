# SPDX-License-Identifier: Apache-2.0
# Writes a .cpp that holds the named files and lists them by base name: embed.py SYMBOL OUT FILE…
import os
import sys

symbol, out, files = sys.argv[1], sys.argv[2], sys.argv[3:]
lines = [
    "#include <span>",
    "#include <string_view>",
    '#include "common/base/embedded_file.h"',
    "",
]
entries = []
for i, path in enumerate(sorted(files, key=os.path.basename)):
    lines.append(
        f'__asm__(".section .rodata\\n.balign 16\\nmillrace_{symbol}_{i}_begin:\\n'
        f'.incbin \\"{path}\\"\\nmillrace_{symbol}_{i}_end:\\n.byte 0\\n.text\\n");'
    )
    lines.append(f'extern "C" const char millrace_{symbol}_{i}_begin[], millrace_{symbol}_{i}_end[];')
    name = os.path.basename(path)
    entries.append(
        f'    {{"{name}", {{millrace_{symbol}_{i}_begin, '
        f"static_cast<size_t>(millrace_{symbol}_{i}_end - millrace_{symbol}_{i}_begin)}}}},"
    )
lines += ["", "namespace millrace {", f"std::span<const EmbeddedFile> {symbol}() {{"]
if entries:
    lines += ["  static const EmbeddedFile kFiles[] = {"] + entries + ["  };", "  return kFiles;"]
else:
    lines += ["  return {};"]
lines += ["}", "}  // namespace millrace", ""]
os.makedirs(os.path.dirname(out), exist_ok=True)
# The sizes of the files are part of the text, so that a changed file changes this source and its cache entry.
import hashlib
for path in files:
    lines.append(f"// {os.path.basename(path)} {hashlib.sha256(open(path, 'rb').read()).hexdigest()}")
with open(out, "w") as f:
    f.write("\n".join(lines) + "\n")
