// SPDX-License-Identifier: Apache-2.0
#include "common/base/random.h"

#include <sys/random.h>

#include <array>
#include <cstdlib>
#include <cstring>

namespace millrace {

void FillRandom(void* bytes, size_t count) {
  thread_local std::array<unsigned char, 4096> buffer;
  thread_local size_t used = buffer.size();
  if (count > buffer.size()) std::abort();
  if (buffer.size() - used < count) {
    for (size_t have = 0; have < buffer.size();) {
      ssize_t got = getrandom(buffer.data() + have, buffer.size() - have, 0);
      if (got <= 0) std::abort();
      have += static_cast<size_t>(got);
    }
    used = 0;
  }
  std::memcpy(bytes, buffer.data() + used, count);
  std::memset(buffer.data() + used, 0, count);
  used += count;
}

}  // namespace millrace
