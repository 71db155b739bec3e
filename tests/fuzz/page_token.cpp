// SPDX-License-Identifier: Apache-2.0
// Page tokens: "filter \n token". One text per page, good for its filter alone.
#include <algorithm>

#include "common/rpc/page.h"
#include "tests/fuzz/fuzz.h"

namespace millrace::rpc {
namespace {

using fuzz::Must;

void Run(std::string_view input) {
  std::string filter = fuzz::Part(&input), token(input);
  Result<Page> page = ReadPage(static_cast<int>(input.size()) - 5, token, filter);
  if (page) {
    Must(page->size > 0 && page->size <= limits::kPageSizeMax, "pages have a bound");
    Must(token.empty() || NextPageToken(page->after, filter) == token, "a token has one text");
  }
  Uuid id;
  std::copy_n(input.begin(), std::min(input.size(), sizeof id.bytes), id.bytes.begin());
  std::string made = NextPageToken(id, filter);
  Result<Page> read = ReadPage(0, made, filter);
  Must(read && read->after == id && read->size == limits::kPageSizeDefault, "a token leads where it was made for");
  Must(!ReadPage(0, made, filter + "x"), "a token is good for its filter alone");
  made[made.size() / 2] = made[made.size() / 2] == 'A' ? 'B' : 'A';
  Must(!ReadPage(0, made, filter), "a changed token is none");
}

}  // namespace
}  // namespace millrace::rpc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  millrace::rpc::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
