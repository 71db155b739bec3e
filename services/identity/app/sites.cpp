// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/page.h"
#include "services/identity/app/identity.h"
#include "services/identity/app/wire.h"
#include "services/identity/store/reads.h"

namespace millrace::identity {
namespace {

using Set = IdentitySet;

Result<domain::CoordinateSystem> System(type::Place::CoordinateSystem given) {
  switch (given) {
    case type::Place::COORDINATE_SYSTEM_UNSPECIFIED:
    case type::Place::WGS84:
      return domain::CoordinateSystem::kWgs84;
    case type::Place::GCJ02:
      return domain::CoordinateSystem::kGcj02;
    case type::Place::BD09:
      return domain::CoordinateSystem::kBd09;
    default:
      return Fail(Error::At("#/site/place/coordinate_system", ErrorCode::kInvalidFormat,
                            {{"expected", "WGS84 | GCJ02 | BD09"}}));
  }
}

// Checks a new site and puts its place into WGS 84.
Result<void> Normalize(v1::Site& site) {
  MILLRACE_CHECK(domain::CheckRegionCode(site.region_code(), "#/site/region_code"));
  MILLRACE_TRY(domain::CoordinateSystem system, System(site.place().coordinate_system()));
  MILLRACE_TRY(Point point,
               domain::ToWgs84({site.place().longitude(), site.place().latitude()}, system, "#/site/place"));
  site.mutable_place()->set_longitude(point.longitude);
  site.mutable_place()->set_latitude(point.latitude);
  site.mutable_place()->set_coordinate_system(type::Place::WGS84);
  return {};
}

// Gives a site its next version and its event; the answer's bytes.
std::string Moved(Set& set, SiteRow& row, const char* event) {
  ++row.version;
  row.changed = true;
  v1::Site payload = Present(row.message, row.version);
  set.events.push_back({event,
                        payload.id(),
                        row.version,
                        {row.organization},
                        payload.GetDescriptor()->full_name(),
                        payload.SerializeAsString()});
  return payload.SerializeAsString();
}

// Takes an external_id that no other site of the organization has.
Result<void> TakeExternalId(Set& set, const Uuid& organization, const std::string& wanted) {
  if (wanted.empty() || set.taken_site_external_ids.emplace(organization, wanted).second) return {};
  return Fail(Error::At("#/site/external_id", ErrorCode::kAlreadyExists, {{"value", wanted}}));
}

// The caller's own site, of the version that it names.
Result<SiteRow*> OwnSite(Set& set, const Uuid& id, const Uuid& asking, const std::string& if_match) {
  auto found = set.sites.find(id);
  if (found == set.sites.end() || found->second.gone || found->second.organization != asking)
    return Fail(ErrorCode::kNotFound);
  if (if_match != "*" && if_match != std::to_string(found->second.version)) return Fail(ErrorCode::kEtagMismatch);
  return &found->second;
}

}  // namespace

Task<Result<v1::Site>> Identity::RunSite(CallContext context, postgres::Command<Set> command) {
  std::shared_ptr<ReplyInfo> reply = context.reply;
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::Site site;
  site.ParseFromString(*outcome);
  reply->etag = site.etag();
  co_return std::move(site);
}

Task<Result<v1::Site>> Identity::CreateSite(CallContext context, v1::CreateSiteRequest request) {
  MILLRACE_CO_CHECK(Normalize(*request.mutable_site()));
  if (request.validate_only()) context.validate_only = true;
  Uuid id = Uuid::New(), organization = context.organization;
  auto wanted = std::make_shared<v1::Site>(std::move(*request.mutable_site()));
  postgres::Command<Set> command;
  command.header = postgres::CommandHeader::Of(context, "CreateSite");
  command.need = [wanted, organization](Set& set) {
    if (!wanted->external_id().empty()) set.want_site_external_ids.emplace(organization, wanted->external_id());
  };
  command.decide = [wanted, organization, id](Set& set) -> Result<std::string> {
    MILLRACE_CHECK(TakeExternalId(set, organization, wanted->external_id()));
    SiteRow& row = set.sites[id];
    row = {id, organization, *wanted, set.now};
    row.message.set_id(FormatId("sit", id));
    row.message.set_organization_id(FormatId("org", organization));
    SetTime(row.message.mutable_create_time(), set.now);
    return Moved(set, row, "site.created");
  };
  Result<v1::Site> made = co_await RunSite(std::move(context), std::move(command));
  co_return std::move(made);
}

Task<Result<v1::Site>> Identity::UpdateSite(CallContext context, v1::UpdateSiteRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("sit", request.id()));
  MILLRACE_CO_CHECK(Normalize(*request.mutable_site()));
  Uuid asking = context.organization;
  auto wanted = std::make_shared<v1::Site>(std::move(*request.mutable_site()));
  postgres::Command<Set> command;
  command.header = postgres::CommandHeader::Of(context, "UpdateSite");
  command.need = [id, asking, wanted](Set& set) {
    set.want_sites.insert(id);
    if (!wanted->external_id().empty()) set.want_site_external_ids.emplace(asking, wanted->external_id());
  };
  command.decide = [id, asking, wanted, if_match = context.if_match](Set& set) -> Result<std::string> {
    MILLRACE_TRY(SiteRow * row, OwnSite(set, id, asking, if_match));
    if (wanted->external_id() != row->message.external_id()) {
      MILLRACE_CHECK(TakeExternalId(set, asking, wanted->external_id()));
    }
    row->message.set_display_name(wanted->display_name());
    *row->message.mutable_place() = wanted->place();
    row->message.set_region_code(wanted->region_code());
    row->message.set_external_id(wanted->external_id());
    return Moved(set, *row, "site.changed");
  };
  Result<v1::Site> changed = co_await RunSite(std::move(context), std::move(command));
  co_return std::move(changed);
}

Task<Result<v1::DeleteSiteResponse>> Identity::DeleteSite(CallContext context, v1::DeleteSiteRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("sit", request.id()));
  postgres::Command<Set> command;
  command.header = postgres::CommandHeader::Of(context, "DeleteSite");
  command.need = [id](Set& set) { set.want_sites.insert(id); };
  command.decide = [id, asking = context.organization, if_match = context.if_match](Set& set) -> Result<std::string> {
    MILLRACE_TRY(SiteRow * row, OwnSite(set, id, asking, if_match));
    row->gone = true;
    Moved(set, *row, "site.deleted");
    return std::string();
  };
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return v1::DeleteSiteResponse();
}

Task<Result<v1::Site>> Identity::GetSite(CallContext context, v1::GetSiteRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("sit", request.id()));
  Asker asker = Asker::Of(context);
  Result<std::optional<Found<v1::Site>>> read = co_await ReadSite(reader_, std::move(asker), id);
  MILLRACE_CO_TRY(std::optional<Found<v1::Site>> found, std::move(read));
  if (!found) co_return Fail(ErrorCode::kNotFound);
  v1::Site site = Present(std::move(found->message), found->version);
  context.reply->etag = site.etag();
  co_return std::move(site);
}

Task<Result<v1::ListSitesResponse>> Identity::ListSites(CallContext context, v1::ListSitesRequest request) {
  std::string filter = context.organization.Hex() + " sites " + request.external_id();
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Asker asker = Asker::Of(context);
  Uuid after = page.after;
  int rows = page.size + 1;
  Result<std::vector<Found<v1::Site>>> read =
      co_await ReadSites(reader_, std::move(asker), after, rows, request.external_id());
  MILLRACE_CO_TRY(std::vector<Found<v1::Site>> found, std::move(read));
  auto present = [](auto& one) { return Present(std::move(one.message), one.version); };
  co_return rpc::PageOf<v1::ListSitesResponse>(page, filter, found, present);
}

}  // namespace millrace::identity
