// SPDX-License-Identifier: Apache-2.0
#include "millrace/identity/v1/identity.pb.h"
#include "services/listing/app/changes.h"
#include "services/listing/app/checks.h"
#include "services/listing/app/convert.h"
#include "services/listing/app/service.h"

namespace millrace::listing {
namespace {

std::set<Uuid> ParentsOf(const v1::Resource& resource) {
  std::set<Uuid> parents;
  for (const std::string& id : resource.parent_ids()) parents.insert(IdOrNil(id));
  return parents;
}

// Parents are resources of the same organization, not the resource itself, and none that has it for a parent.
Result<void> CheckParents(ListingSet& set, const Uuid& organization, const v1::Resource& resource, const Uuid& self) {
  for (int i = 0; i < resource.parent_ids_size(); ++i) {
    ResourceRow* parent = set.OwnResource(IdOrNil(resource.parent_ids(i)), organization);
    bool loop = parent && !self.IsNil() && (parent->id == self || ParentsOf(parent->message).contains(self));
    if (!parent || loop) return Fail(Error::At("#/resource/parent_ids/" + std::to_string(i), ErrorCode::kNotFound));
  }
  return {};
}

Result<void> CheckExternalId(const std::map<Key, Uuid>& taken, const Key& key, const Uuid& self, const char* pointer) {
  auto found = taken.find(key);
  if (key.second.empty() || found == taken.end() || found->second == self) return {};
  return Fail(Error::At(pointer, ErrorCode::kAlreadyExists, {{"value", key.second}}));
}

}  // namespace

Result<v1::Resource> ListingService::Prepared::Placed(const ListingSet& set, const v1::Resource* before) const {
  v1::Resource placed = content;
  if (site) {
    *placed.mutable_place() = set.sites.at(site_id).place;
  } else if (!site_id.IsNil()) {
    if (!before || before->site_id() != content.site_id())
      return Fail(Error::At("#/resource/site_id", ErrorCode::kNotFound));
    placed.clear_place();
    if (before->has_place()) *placed.mutable_place() = before->place();
  }
  return placed;
}

Task<Result<ListingService::Prepared>> ListingService::Prepare(CallContext context, v1::Resource resource) {
  resource.clear_id();
  resource.clear_organization_id();
  resource.clear_create_time();
  resource.clear_update_time();
  resource.clear_etag();
  if (resource.units() == 0) resource.set_units(1);
  MILLRACE_CO_CHECK(Refuse(CheckResource(resource, "#/resource")));
  Prepared prepared;
  if (!resource.site_id().empty()) {
    prepared.site_id = IdOrNil(resource.site_id());
    CallContext asking = context;
    asking.idempotency_key.clear();
    asking.if_match.clear();
    asking.validate_only = false;
    asking.reply = std::make_shared<ReplyInfo>();
    identity::v1::GetSiteRequest wanted;
    wanted.set_id(resource.site_id());
    Result<identity::v1::Site> site = co_await rpc::Call<identity::v1::Site>(
        core_.channel("identity"), "millrace.identity.v1.Identity.GetSite", std::move(asking), std::move(wanted));
    if (!site && site.error().code != ErrorCode::kNotFound) co_return std::unexpected<Error>(std::move(site).error());
    if (site) prepared.site = HeardSite(site->place(), std::atoll(site->etag().c_str()));
  }
  if (resource.has_place()) ToWgs84(resource.mutable_place());
  prepared.content = std::move(resource);
  co_return std::move(prepared);
}

Task<Result<v1::Resource>> ListingService::CreateResource(CallContext context, v1::CreateResourceRequest request) {
  Result<Prepared> read = co_await Prepare(context, std::move(*request.mutable_resource()));
  MILLRACE_CO_TRY(Prepared prepared, std::move(read));
  Command command;
  command.header = postgres::CommandHeader::Of(context, "CreateResource");
  command.header.validate_only = context.validate_only || request.validate_only();
  Uuid organization = context.organization;
  command.need = [organization, prepared](ListingSet& set) {
    const v1::Resource& content = prepared.content;
    prepared.Need(set);
    set.need_resources.merge(ParentsOf(content));
    if (!content.external_id().empty()) set.need_resource_keys.insert({organization, content.external_id()});
  };
  command.decide = [organization, prepared](ListingSet& set) -> Result<std::string> {
    MILLRACE_TRY(v1::Resource content, prepared.Placed(set, nullptr));
    MILLRACE_CHECK(
        CheckExternalId(set.resource_keys, {organization, content.external_id()}, {}, "#/resource/external_id"));
    MILLRACE_CHECK(CheckParents(set, organization, content, {}));
    return ToMessage(AddResource(set, organization, std::move(content))).SerializeAsString();
  };
  Result<v1::Resource> answer = co_await Submit<v1::Resource>(std::move(context), std::move(command));
  co_return std::move(answer);
}

Task<Result<v1::Resource>> ListingService::UpdateResource(CallContext context, v1::UpdateResourceRequest request) {
  Result<Prepared> read = co_await Prepare(context, std::move(*request.mutable_resource()));
  MILLRACE_CO_TRY(Prepared prepared, std::move(read));
  Command command;
  command.header = postgres::CommandHeader::Of(context, "UpdateResource");
  Uuid organization = context.organization, id = IdOrNil(request.id());
  command.need = [organization, id, prepared](ListingSet& set) {
    const v1::Resource& content = prepared.content;
    prepared.Need(set);
    set.need_resources.merge(ParentsOf(content));
    set.need_resources.insert(id);
    set.need_listings_of_resources.insert(id);
    if (!content.external_id().empty()) set.need_resource_keys.insert({organization, content.external_id()});
  };
  std::string if_match = context.if_match;
  command.decide = [organization, id, prepared, if_match](ListingSet& set) -> Result<std::string> {
    ResourceRow* row = set.OwnResource(id, organization);
    if (!row) return Fail(ErrorCode::kNotFound);
    if (if_match != "*" && if_match != std::to_string(row->version)) return Fail(ErrorCode::kEtagMismatch);
    MILLRACE_TRY(v1::Resource content, prepared.Placed(set, &row->message));
    if (content.kind() != row->message.kind()) {
      ErrorParams params{{"field", "kind"}, {"expected", v1::Resource::Kind_Name(row->message.kind())}};
      return Fail(Error::At("#/resource/kind", ErrorCode::kInvalidFormat, std::move(params)));
    }
    MILLRACE_CHECK(
        CheckExternalId(set.resource_keys, {organization, content.external_id()}, id, "#/resource/external_id"));
    MILLRACE_CHECK(CheckParents(set, organization, content, id));
    ChangeResource(set, *row, std::move(content));
    return ToMessage(*row).SerializeAsString();
  };
  Result<v1::Resource> answer = co_await Submit<v1::Resource>(std::move(context), std::move(command));
  co_return std::move(answer);
}

Task<Result<v1::Resource>> ListingService::GetResource(CallContext context, v1::GetResourceRequest request) {
  Result<ResourceRow> row = co_await reads_.Resource(context, IdOrNil(request.id()));
  if (!row) co_return std::unexpected<Error>(std::move(row).error());
  v1::Resource message = ToMessage(*row);
  context.reply->etag = message.etag();
  co_return std::move(message);
}

Task<Result<v1::ListResourcesResponse>> ListingService::ListResources(CallContext context,
                                                                      v1::ListResourcesRequest request) {
  std::string filter =
      FormatId("org", context.organization) + "|" + std::to_string(request.kind()) + "|" + request.external_id();
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Result<std::vector<ResourceRow>> rows =
      co_await reads_.Resources(context, page, request.kind(), request.external_id());
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  v1::ListResourcesResponse response;
  for (size_t i = 0; i < rows->size() && i < static_cast<size_t>(page.size); ++i)
    *response.add_data() = ToMessage((*rows)[i]);
  if (rows->size() > static_cast<size_t>(page.size)) {
    response.set_next_page_token(rpc::NextPageToken((*rows)[static_cast<size_t>(page.size) - 1].id, filter));
  }
  co_return std::move(response);
}

}  // namespace millrace::listing
