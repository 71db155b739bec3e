// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "common/async/pool.h"
#include "common/base/result.h"

namespace millrace::blob {

// Files by the SHA-256 of their content, under one folder: <folder>/ab/abcdef…. A file is written aside, synced and
// renamed, so it is whole or not there; the same content twice is one file. Lives on the loop; reads and writes happen
// on a thread of its own.
class Store {
 public:
  explicit Store(std::string folder);
  // Keeps the bytes; returns their hash, hexadecimal. Errors: UNAVAILABLE (disk).
  Task<Result<std::string>> Put(std::string bytes);
  // Errors: NOT_FOUND; INTERNAL if the content no longer fits its hash.
  Task<Result<std::string>> Get(std::string sha256);
  // Removal in two steps, so that whoever names content may be looked for in between: aside it is no longer got, and
  // Settle puts it back or removes it. Both are safe to repeat. Errors: UNAVAILABLE (disk).
  Task<Result<void>> SetAside(std::string sha256);
  Task<Result<void>> Settle(std::string sha256, bool keep);

 private:
  std::string folder_;
  ThreadPool pool_;
};

}  // namespace millrace::blob
