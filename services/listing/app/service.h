// SPDX-License-Identifier: Apache-2.0
// Listing's use cases: one method an RPC, and what it does when others' events and its own timers come.
#pragma once

#include "common/blob/blob.h"
#include "common/events/consumer.h"
#include "common/runtime/module.h"
#include "google/api/httpbody.pb.h"
#include "millrace/events/v1/events.pb.h"
#include "millrace/listing/v1/listing.pb.h"
#include "services/listing/domain/states.h"
#include "services/listing/store/reads.h"
#include "services/listing/store/store.h"

namespace millrace::listing {

class ListingService {
 public:
  explicit ListingService(runtime::ServiceCore& core);
  // Registers handlers, timers and consumers. Before ServiceCore::Start.
  void Register();

 private:
  using Writer = postgres::Writer<ListingSet>;
  using Command = postgres::Command<ListingSet>;
  using HttpBody = google::api::HttpBody;

  void Need(ListingSet& set, const events::v1::Event& event);
  Result<void> Apply(ListingSet& set, const events::v1::Event& event);

  // Runs a command and reads its answer; the reply says whether it was replayed, and the object's ETag.
  template <class Response>
  Task<Result<Response>> Submit(CallContext context, Command command, bool whole_file = false) {
    Writer& writer = whole_file ? file_writer_ : writer_;
    Result<postgres::Outcome> outcome = co_await writer.Submit(std::move(command));
    if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
    Response response;
    response.ParseFromString(outcome->response);
    context.reply->replayed = outcome->replayed;
    if constexpr (requires { response.etag(); }) context.reply->etag = response.etag();
    co_return std::move(response);
  }

  // resources.cpp
  // A resource without what the system sets, in WGS 84, and what identity says of its site now.
  struct Prepared {
    v1::Resource content;
    std::optional<SiteRow> site;
    Uuid site_id;  // nil: none is named
    void Need(ListingSet& set) const {
      if (site) set.HearSite(site_id, *site);
    }
    // As it is kept, `before` being how it was: at its site's position. A site that is gone, or is another's, is good
    // only for what stood there already and keeps its position. Errors: NOT_FOUND (site).
    Result<v1::Resource> Placed(const ListingSet& set, const v1::Resource* before) const;
  };
  Task<Result<Prepared>> Prepare(CallContext context, v1::Resource resource);
  Task<Result<v1::Resource>> CreateResource(CallContext context, v1::CreateResourceRequest request);
  Task<Result<v1::Resource>> UpdateResource(CallContext context, v1::UpdateResourceRequest request);
  Task<Result<v1::Resource>> GetResource(CallContext context, v1::GetResourceRequest request);
  Task<Result<v1::ListResourcesResponse>> ListResources(CallContext context, v1::ListResourcesRequest request);

  // listings.cpp
  Task<Result<v1::Listing>> CreateListing(CallContext context, v1::CreateListingRequest request);
  Task<Result<v1::Listing>> UpdateListing(CallContext context, v1::UpdateListingRequest request);
  Task<Result<v1::Listing>> GetListing(CallContext context, v1::GetListingRequest request);
  Task<Result<v1::ListListingsResponse>> ListListings(CallContext context, v1::ListListingsRequest request);
  Task<Result<v1::Listing>> Act(CallContext context, v1::ListingVerbRequest request, domain::Event event);
  Task<Result<v1::Price>> PriceListing(CallContext context, v1::PriceListingRequest request);
  Task<Result<v1::ListProcessesResponse>> ListProcesses(CallContext context, v1::ListProcessesRequest request);
  Task<Result<v1::Bookable>> GetBookable(CallContext context, v1::GetBookableRequest request);
  Task<Result<v1::SnapshotListingsResponse>> SnapshotListings(CallContext context, v1::SnapshotListingsRequest request);

  // imports.cpp
  Task<Result<v1::Import>> CreateImport(CallContext context, v1::CreateImportRequest request);
  Task<Result<v1::Import>> GetImport(CallContext context, v1::GetImportRequest request);
  Task<Result<v1::Import>> ConfirmImport(CallContext context, v1::ConfirmImportRequest request);
  Task<Result<HttpBody>> GetImportFailedRows(CallContext context, v1::GetImportRequest request);
  Task<Result<HttpBody>> GetImportTemplate(CallContext context, v1::GetImportTemplateRequest request);
  Task<Result<void>> ExpireImport(tasks::DueTask task);
  Task<Result<void>> EndReview(tasks::DueTask task);

  // attachments.cpp
  Task<Result<v1::Attachment>> CreateAttachment(CallContext context, v1::CreateAttachmentRequest request);
  Task<Result<HttpBody>> GetAttachment(CallContext context, v1::GetAttachmentRequest request);

  runtime::ServiceCore& core_;
  ListingStore store_;
  Writer writer_;
  // Of imports, which may take minutes: no other command waits behind them, but those that need the same rows. And of
  // others' events: a suspension must not miss the listings that an import is making.
  Writer file_writer_;
  Reads reads_;
  blob::Store blobs_;
  events::WriterSink<ListingSet> sink_;
};

}  // namespace millrace::listing
