// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace millrace {

// A file that the build put into the binary (cmake/embed.py).
struct EmbeddedFile {
  std::string_view name;  // base name, e.g. "V001__machinery.sql"
  std::string_view bytes;
};

}  // namespace millrace
