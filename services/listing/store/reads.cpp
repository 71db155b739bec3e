// SPDX-License-Identifier: Apache-2.0
#include "services/listing/store/reads.h"

#include "common/postgres/asking.h"
#include "services/listing/store/columns.h"
#include "services/listing/store/store.h"

namespace millrace::listing {

using postgres::Asking;
using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;
using postgres::Transaction;

namespace {

constexpr Statement kResource = {"listing_read_resource",
                                 "SELECT " LISTING_RESOURCE_COLUMNS " FROM read_resource($1, $2, $3)"};
constexpr Statement kListing = {"listing_read_listing",
                                "SELECT " LISTING_LISTING_COLUMNS " FROM read_listing($1, $2, $3)"};
constexpr Statement kResources = {"listing_list_resources",
                                  "SELECT " LISTING_RESOURCE_COLUMNS
                                  " FROM list_resources($1, $2, $3, $4, $5, $6, $7) ORDER BY id DESC"};
constexpr Statement kListings = {"listing_list_listings",
                                 "SELECT " LISTING_LISTING_COLUMNS
                                 " FROM list_listings($1, $2, $3, $4, $5, $6, $7, $8) ORDER BY id DESC"};
constexpr Statement kImport = {"listing_read_import", "SELECT " LISTING_IMPORT_COLUMNS " FROM read_import($1, $2, $3)"};
constexpr Statement kRefused = {"listing_read_refused",
                                "SELECT line, faults, cells FROM read_refused($1, $2, $3, $4, $5) ORDER BY line"};
constexpr Statement kAttachment = {"listing_read_attachment",
                                   "SELECT sha256, size, content_type FROM read_attachment($1, $2, $3)"};
constexpr Statement kKeepAttachment = {
    "listing_keep_attachment",
    "INSERT INTO attachment (organization, sha256, size, content_type, create_time) "
    "VALUES ($1, $2, $3, $4, runtime.now()) ON CONFLICT (organization, sha256) DO NOTHING"};
constexpr Statement kBookable = {"listing_bookable", "SELECT " LISTING_LISTING_COLUMNS " FROM listing WHERE id = $1"};
constexpr Statement kSnapshot = {
    "listing_snapshot", "SELECT " LISTING_LISTING_COLUMNS
                        " FROM listing WHERE ever_published AND ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2"};
constexpr Statement kResourcesById = {"listing_resources_by_id",
                                      "SELECT " LISTING_RESOURCE_COLUMNS " FROM resource WHERE id = ANY ($1::uuid[])"};
constexpr Statement kHead = {"listing_head", "SELECT head FROM event_log"};

template <class T, class F>
Result<T> First(const Result<Rows>& rows, F read) {
  if (!rows) return std::unexpected<Error>(rows.error());
  if (rows->empty()) return Fail(ErrorCode::kNotFound);
  return read((*rows)[0]);
}

template <class T, class F>
Result<std::vector<T>> All(const Result<Rows>& rows, F read) {
  if (!rows) return std::unexpected<Error>(rows.error());
  std::vector<T> out;
  for (Row row : *rows) out.push_back(read(row));
  return out;
}

std::map<Uuid, ResourceRow> ResourcesOf(Transaction& tx, const std::vector<ListingRow>& listings) {
  std::vector<Uuid> ids;
  for (const ListingRow& listing : listings) ids.push_back(listing.resource);
  std::map<Uuid, ResourceRow> resources;
  for (Row row : tx.Execute(kResourcesById, Params().Ids(ids))) resources[row.Id(0)] = ReadResource(row);
  return resources;
}

}  // namespace

Task<Result<ResourceRow>> Reads::Resource(CallContext context, Uuid id) {
  Params params = Asking(context);
  params.Id(id);
  Result<Rows> rows = co_await reader_.Query(kResource, std::move(params));
  co_return First<ResourceRow>(rows, ReadResource);
}

Task<Result<ListingRow>> Reads::Listing(CallContext context, Uuid id) {
  Params params = Asking(context);
  params.Id(id);
  Result<Rows> rows = co_await reader_.Query(kListing, std::move(params));
  co_return First<ListingRow>(rows, ReadListing);
}

Task<Result<std::vector<ResourceRow>>> Reads::Resources(CallContext context, rpc::Page page, int kind,
                                                        std::string external_id) {
  Params params = Asking(context);
  params.Bool(context.IsOperator()).Id(page.after).Int(page.size + 1).Int(kind).Text(external_id);
  Result<Rows> rows = co_await reader_.Query(kResources, std::move(params));
  co_return All<ResourceRow>(rows, ReadResource);
}

Task<Result<std::vector<ListingRow>>> Reads::Listings(CallContext context, rpc::Page page, ListingFilter filter) {
  Params params = Asking(context);
  params.Bool(context.IsOperator()).Id(page.after).Int(page.size + 1);
  params.Text(filter.state).Id(filter.resource).Text(filter.external_id);
  Result<Rows> rows = co_await reader_.Query(kListings, std::move(params));
  co_return All<ListingRow>(rows, ReadListing);
}

Task<Result<ImportRow>> Reads::Import(CallContext context, Uuid id) {
  Params params = Asking(context);
  params.Id(id);
  Result<Rows> rows = co_await reader_.Query(kImport, std::move(params));
  co_return First<ImportRow>(rows, ReadImport);
}

Task<Result<std::vector<ImportLine>>> Reads::Refused(CallContext context, Uuid import, int after, int most) {
  Params params = Asking(context);
  params.Id(import).Int(after).Int(most);
  Result<Rows> rows = co_await reader_.Query(kRefused, std::move(params));
  auto read = [](const Row& row) {
    ImportLine line;
    line.line = static_cast<int>(row.Int(0));
    line.faults = row.Bytes(1);
    line.cells = row.Text(2);
    return line;
  };
  co_return All<ImportLine>(rows, read);
}

Task<Result<AttachmentRow>> Reads::Attachment(CallContext context, std::string sha256) {
  Params params = Asking(context);
  params.Text(sha256);
  Result<Rows> rows = co_await reader_.Query(kAttachment, std::move(params));
  auto read = [](const Row& row) { return AttachmentRow{row.Text(0), row.Int(1), row.Text(2)}; };
  co_return First<AttachmentRow>(rows, read);
}

Task<Result<std::pair<ListingRow, ResourceRow>>> Reads::Bookable(Uuid listing) {
  auto work = [listing](Transaction& tx) {
    std::vector<std::pair<ListingRow, ResourceRow>> found;
    for (Row row : tx.Execute(kBookable, Params().Id(listing))) {
      ListingRow read = ReadListing(row);
      std::map<Uuid, ResourceRow> resources = ResourcesOf(tx, {read});
      ResourceRow resource = std::move(resources[read.resource]);
      found.emplace_back(std::move(read), std::move(resource));
    }
    return found;
  };
  auto found = co_await worker_.Run(std::move(work));
  if (!found) co_return std::unexpected<Error>(std::move(found).error());
  if (found->empty()) co_return Fail(ErrorCode::kNotFound);
  co_return std::move(found->front());
}

Task<Result<Snapshot>> Reads::Page(Uuid after, int most) {
  auto work = [after, most](Transaction& tx) {
    Snapshot snapshot;
    snapshot.seq = tx.Execute(kHead)[0].Int(0);
    std::vector<ListingRow> listings;
    for (Row row : tx.Execute(kSnapshot, Params().Id(after).Int(most))) listings.push_back(ReadListing(row));
    std::map<Uuid, ResourceRow> resources = ResourcesOf(tx, listings);
    for (ListingRow& listing : listings) {
      const ResourceRow& resource = resources[listing.resource];
      snapshot.rows.emplace_back(std::move(listing), resource);
    }
    return snapshot;
  };
  Result<Snapshot> snapshot = co_await worker_.Run(std::move(work));
  co_return std::move(snapshot);
}

Task<Result<void>> Reads::KeepAttachment(Uuid organization, AttachmentRow row) {
  Params params;
  params.Id(organization).Text(row.sha256).Int(row.size).Text(row.content_type);
  Result<Rows> kept = co_await worker_.Query(kKeepAttachment, std::move(params));
  if (!kept) co_return std::unexpected<Error>(std::move(kept).error());
  co_return Result<void>();
}

}  // namespace millrace::listing
