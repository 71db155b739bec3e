// SPDX-License-Identifier: Apache-2.0
// Pages by keyset: newest first, a page is what comes after (is older than) an id.
#pragma once

#include <string>

#include "common/base/id.h"
#include "common/base/limits.h"

namespace millrace::rpc {

// Where a page starts, and how long it is.
struct Page {
  Uuid after;  // nil: the first page
  int size = limits::kPageSizeDefault;
};

// Reads page_size and page_token of a request; `filter` is everything else that the list depends on (the asking
// organization and the serialized filters): a token is good for that alone. Errors: INVALID_PAGE_TOKEN.
Result<Page> ReadPage(int page_size, const std::string& page_token, const std::string& filter);
// The token of the page after `last`.
std::string NextPageToken(const Uuid& last, const std::string& filter);
// The answer of a list whose rows have ids, from rows that were read one beyond the page; `present` makes an entry of
// each.
template <class Response, class Rows, class Present>
Response PageOf(const Page& page, const std::string& filter, Rows& rows, Present present) {
  Response response;
  for (auto& row : rows) {
    if (response.data_size() == page.size) {
      response.set_next_page_token(NextPageToken(IdOrNil(response.data(page.size - 1).id()), filter));
      break;
    }
    *response.add_data() = present(row);
  }
  return response;
}
// For lists that are ordered by a number: the id that a token holds for it, and the number of such an id.
Uuid PlaceOf(int64_t number);
int64_t NumberOf(const Uuid& place);

}  // namespace millrace::rpc
