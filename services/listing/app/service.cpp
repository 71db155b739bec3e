// SPDX-License-Identifier: Apache-2.0
#include "services/listing/app/service.h"

#include "millrace/credit/v1/risk_tier.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "services/listing/app/changes.h"

namespace millrace::listing {

using domain::Event;

ListingService::ListingService(runtime::ServiceCore& core)
    : core_(core),
      writer_(core.executor(), core.worker(), store_),
      file_writer_(core.executor(), core.worker(), store_),
      reads_(core.reader(), core.worker()),
      blobs_(core.environment().settings->Get("data_folder") + "/blobs"),
      sink_(
          core.worker(), file_writer_, [this](ListingSet& set, const events::v1::Event& event) { Need(set, event); },
          [this](ListingSet& set, const events::v1::Event& event) { return Apply(set, event); }) {}

void ListingService::Register() {
  rpc::Service& service = core_.service();
  const std::string prefix = "millrace.listing.v1.ListingService.";
  auto on = [&]<class Request, class Response>(
                const char* method, Task<Result<Response>> (ListingService::*handler)(CallContext, Request)) {
    service.On<Request, Response>(prefix + method, [this, handler](CallContext context, Request request) {
      return (this->*handler)(std::move(context), std::move(request));
    });
  };
  on("CreateResource", &ListingService::CreateResource);
  on("UpdateResource", &ListingService::UpdateResource);
  on("GetResource", &ListingService::GetResource);
  on("ListResources", &ListingService::ListResources);
  on("CreateListing", &ListingService::CreateListing);
  on("UpdateListing", &ListingService::UpdateListing);
  on("GetListing", &ListingService::GetListing);
  on("ListListings", &ListingService::ListListings);
  on("PriceListing", &ListingService::PriceListing);
  on("ListProcesses", &ListingService::ListProcesses);
  on("GetBookable", &ListingService::GetBookable);
  on("SnapshotListings", &ListingService::SnapshotListings);
  on("CreateImport", &ListingService::CreateImport);
  on("GetImport", &ListingService::GetImport);
  on("ConfirmImport", &ListingService::ConfirmImport);
  on("GetImportFailedRows", &ListingService::GetImportFailedRows);
  on("GetImportTemplate", &ListingService::GetImportTemplate);
  on("CreateAttachment", &ListingService::CreateAttachment);
  on("GetAttachment", &ListingService::GetAttachment);
  auto verb = [&](const char* method, Event event) {
    service.On<v1::ListingVerbRequest, v1::Listing>(prefix + method,
                                                    [this, event](CallContext context, v1::ListingVerbRequest request) {
                                                      return Act(std::move(context), std::move(request), event);
                                                    });
  };
  verb("PublishListing", Event::kPublish);
  verb("PauseListing", Event::kPause);
  verb("ResumeListing", Event::kResume);
  verb("RetireListing", Event::kRetire);
  verb("BlockListing", Event::kBlock);
  core_.tasks().Handle("listing.review", [this](tasks::DueTask task) { return EndReview(std::move(task)); });
  core_.tasks().Handle("listing.expire_import", [this](tasks::DueTask task) { return ExpireImport(std::move(task)); });
  for (Writer* writer : {&writer_, &file_writer_}) writer->OnCommit([this] { core_.Committed(); });
  core_.Consume("identity", sink_);
  core_.Consume("credit", sink_);
}

void ListingService::Need(ListingSet& set, const events::v1::Event& event) {
  if (event.type() == "organization.suspended" || event.type() == "organization.reinstated") {
    identity::v1::Organization organization;
    if (!organization.ParseFromString(event.payload())) return;  // Apply refuses it
    Uuid id = IdOrNil(organization.id());
    set.need_organizations.insert(id);
    set.need_listings_of_organizations.insert(id);
  } else if (event.type() == "site.changed") {
    identity::v1::Site site;
    Uuid id = site.ParseFromString(event.payload()) ? IdOrNil(site.id()) : Uuid();
    if (id.IsNil()) return;
    set.HearSite(id, HeardSite(site.place(), event.aggregate_version()));
    set.need_resources_of_sites.insert(id);
  } else if (event.type() == "risk_tier.changed") {
    credit::v1::RiskTier tier;
    if (tier.ParseFromString(event.payload())) set.need_organizations.insert(IdOrNil(tier.organization_id()));
  }
}

Result<void> ListingService::Apply(ListingSet& set, const events::v1::Event& event) {
  if (event.type() == "organization.suspended" || event.type() == "organization.reinstated") {
    identity::v1::Organization organization;
    Uuid id = organization.ParseFromString(event.payload()) ? IdOrNil(organization.id()) : Uuid();
    if (id.IsNil()) return Fail(Error::Internal("not an organization"));
    event.type() == "organization.suspended" ? Suspend(set, id) : Reinstate(set, id);
  } else if (event.type() == "site.changed") {
    identity::v1::Site site;
    Uuid id = site.ParseFromString(event.payload()) ? IdOrNil(site.id()) : Uuid();
    if (id.IsNil()) return Fail(Error::Internal("not a site"));
    MoveResources(set, id);
  } else if (event.type() == "risk_tier.changed") {
    credit::v1::RiskTier tier;
    Uuid id = tier.ParseFromString(event.payload()) ? IdOrNil(tier.organization_id()) : Uuid();
    if (id.IsNil()) return Fail(Error::Internal("not a risk tier"));
    if (tier.role() == credit::v1::PROVIDER) ChangeTier(set, id, tier.tier(), tier.version());
  }
  return {};
}

}  // namespace millrace::listing
