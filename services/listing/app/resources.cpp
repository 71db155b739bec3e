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

Task<Result<v1::Resource>> ListingService::Prepare(CallContext context, v1::Resource resource) {
  resource.clear_id();
  resource.clear_organization_id();
  resource.clear_create_time();
  resource.clear_update_time();
  resource.clear_etag();
  if (resource.units() == 0) resource.set_units(1);
  MILLRACE_CO_CHECK(Refuse(CheckResource(resource, "#/resource")));
  if (!resource.site_id().empty()) {
    CallContext asking = context;
    asking.idempotency_key.clear();
    asking.if_match.clear();
    asking.validate_only = false;
    asking.reply = std::make_shared<ReplyInfo>();
    identity::v1::GetSiteRequest wanted;
    wanted.set_id(resource.site_id());
    Result<identity::v1::Site> site = co_await rpc::Call<identity::v1::Site>(
        core_.channel("identity"), "millrace.identity.v1.Identity.GetSite", std::move(asking), std::move(wanted));
    if (!site && site.error().code == ErrorCode::kNotFound) {
      co_return Fail(Error::At("#/resource/site_id", ErrorCode::kNotFound));
    }
    if (!site) co_return std::unexpected<Error>(std::move(site).error());
    *resource.mutable_place() = site->place();
  }
  if (resource.has_place()) ToWgs84(resource.mutable_place());
  co_return std::move(resource);
}

Task<Result<v1::Resource>> ListingService::CreateResource(CallContext context, v1::CreateResourceRequest request) {
  Result<v1::Resource> prepared = co_await Prepare(context, std::move(*request.mutable_resource()));
  MILLRACE_CO_TRY(v1::Resource content, std::move(prepared));
  Command command;
  command.header = postgres::CommandHeader::Of(context, "CreateResource");
  command.header.validate_only = context.validate_only || request.validate_only();
  Uuid organization = context.organization;
  command.need = [organization, content](ListingSet& set) {
    set.need_resources.merge(ParentsOf(content));
    if (!content.external_id().empty()) set.need_resource_keys.insert({organization, content.external_id()});
  };
  command.decide = [organization, content](ListingSet& set) -> Result<std::string> {
    MILLRACE_CHECK(
        CheckExternalId(set.resource_keys, {organization, content.external_id()}, {}, "#/resource/external_id"));
    MILLRACE_CHECK(CheckParents(set, organization, content, {}));
    return ToMessage(AddResource(set, organization, content)).SerializeAsString();
  };
  Result<v1::Resource> answer = co_await Submit<v1::Resource>(std::move(context), std::move(command));
  co_return std::move(answer);
}

Task<Result<v1::Resource>> ListingService::UpdateResource(CallContext context, v1::UpdateResourceRequest request) {
  Result<v1::Resource> prepared = co_await Prepare(context, std::move(*request.mutable_resource()));
  MILLRACE_CO_TRY(v1::Resource content, std::move(prepared));
  Command command;
  command.header = postgres::CommandHeader::Of(context, "UpdateResource");
  Uuid organization = context.organization, id = IdOrNil(request.id());
  command.need = [organization, id, content](ListingSet& set) {
    set.need_resources.merge(ParentsOf(content));
    set.need_resources.insert(id);
    set.need_listings_of_resources.insert(id);
    if (!content.external_id().empty()) set.need_resource_keys.insert({organization, content.external_id()});
  };
  std::string if_match = context.if_match;
  command.decide = [organization, id, content, if_match](ListingSet& set) -> Result<std::string> {
    ResourceRow* row = set.OwnResource(id, organization);
    if (!row) return Fail(ErrorCode::kNotFound);
    if (if_match != "*" && if_match != std::to_string(row->version)) return Fail(ErrorCode::kEtagMismatch);
    if (content.kind() != row->message.kind()) {
      ErrorParams params{{"field", "kind"}, {"expected", v1::Resource::Kind_Name(row->message.kind())}};
      return Fail(Error::At("#/resource/kind", ErrorCode::kInvalidFormat, std::move(params)));
    }
    MILLRACE_CHECK(
        CheckExternalId(set.resource_keys, {organization, content.external_id()}, id, "#/resource/external_id"));
    MILLRACE_CHECK(CheckParents(set, organization, content, id));
    ChangeResource(set, *row, content);
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
