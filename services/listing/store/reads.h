// SPDX-License-Identifier: Apache-2.0
// What callers may see, under the row-level security policies; and what other services are told.
#pragma once

#include "common/base/call_context.h"
#include "common/rpc/page.h"
#include "services/listing/store/rows.h"

namespace millrace::listing {

struct AttachmentRow {
  std::string sha256;
  int64_t size = 0;
  std::string content_type;
};

struct ListingFilter {
  std::string state;  // empty: any
  Uuid resource;      // nil: any
  std::string external_id;
};

struct Snapshot {
  int64_t seq = 0;  // of the event log, before the rows were read
  std::vector<std::pair<ListingRow, ResourceRow>> rows;
};

class Reads {
 public:
  Reads(postgres::Database& reader, postgres::Database& worker) : reader_(reader), worker_(worker) {}

  // Errors of the single ones: NOT_FOUND. A page holds one row more than asked for if there is a next page.
  Task<Result<ResourceRow>> Resource(CallContext context, Uuid id);
  Task<Result<ListingRow>> Listing(CallContext context, Uuid id);
  Task<Result<std::vector<ResourceRow>>> Resources(CallContext context, rpc::Page page, int kind,
                                                   std::string external_id);
  Task<Result<std::vector<ListingRow>>> Listings(CallContext context, rpc::Page page, ListingFilter filter);
  Task<Result<ImportRow>> Import(CallContext context, Uuid id);
  // Refused rows after a line of the file.
  Task<Result<std::vector<ImportLine>>> Refused(CallContext context, Uuid import, int after, int most);
  Task<Result<AttachmentRow>> Attachment(CallContext context, std::string sha256);

  // For other services. Errors: NOT_FOUND.
  Task<Result<std::pair<ListingRow, ResourceRow>>> Bookable(Uuid listing);
  // Listings that were ever published, by id; `most` rows after an id.
  Task<Result<Snapshot>> Page(Uuid after, int most);
  Task<Result<void>> KeepAttachment(Uuid organization, AttachmentRow row);

 private:
  postgres::Database& reader_;
  postgres::Database& worker_;
};

}  // namespace millrace::listing
