// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "common/base/text.h"
#include "common/taxonomy/taxonomy.h"
#include "common/terms/terms.h"
#include "services/listing/app/changes.h"
#include "services/listing/app/checks.h"
#include "services/listing/app/convert.h"
#include "services/listing/app/service.h"

namespace millrace::listing {

using domain::Event;
using domain::State;

namespace {

// What a listing keeps beside its row's columns.
v1::Listing Content(const v1::Listing& request) {
  v1::Listing content;
  content.set_external_id(request.external_id());
  if (request.has_capability()) *content.mutable_capability() = request.capability();
  if (request.has_calendar()) *content.mutable_calendar() = request.calendar();
  if (request.has_price_plan()) *content.mutable_price_plan() = request.price_plan();
  if (request.has_terms()) *content.mutable_terms() = request.terms();
  return content;
}

Result<void> CheckExternalId(const ListingSet& set, const Key& key, const Uuid& self) {
  auto found = set.listing_keys.find(key);
  if (key.second.empty() || found == set.listing_keys.end() || found->second == self) return {};
  return Fail(Error::At("#/listing/external_id", ErrorCode::kAlreadyExists, {{"value", key.second}}));
}

bool MaySeeActions(const CallContext& context, const ListingRow& row) {
  return context.organization == row.organization || context.IsOperator();
}

std::string_view EventName(Event event, State to) {
  switch (event) {
    case Event::kPause:
      return "listing.paused";
    case Event::kResume:
      return "listing.resumed";
    case Event::kRetire:
      return "listing.retired";
    case Event::kBlock:
      return "listing.blocked";
    default:
      return to == State::kPublished ? "listing.published" : "listing.updated";
  }
}

// A verb on a loaded listing. Errors: STATE_CONFLICT, and those of Publish.
Result<void> ActOn(ListingSet& set, ListingRow& row, Event event, uint8_t actor, const std::string& reason) {
  bool by_suspension = row.state_before.has_value();
  if (event == Event::kPublish) {
    if (by_suspension) return Fail(domain::StateConflict(row.state, event, actor));
    MILLRACE_TRY(std::string_view recorded, Publish(set, row, actor));
    Record(set, row, recorded);
    return {};
  }
  std::optional<State> to = domain::Next(row.state, event, actor);
  if (!to) return Fail(domain::StateConflict(row.state, event, actor));
  if (event == Event::kResume && set.Organization(row.organization).suspended) {
    return Fail(ErrorCode::kOrganizationNotVerified);
  }
  MoveTo(set, row, *to);
  row.state_reason = reason;
  Record(set, row, EventName(event, *to));
  return {};
}

}  // namespace

Task<Result<v1::Listing>> ListingService::CreateListing(CallContext context, v1::CreateListingRequest request) {
  v1::Listing content = Content(request.listing());
  MILLRACE_CO_CHECK(Refuse(CheckListing(content, "#/listing")));
  Command command;
  command.header = postgres::CommandHeader::Of(context, "CreateListing");
  command.header.validate_only = context.validate_only || request.validate_only();
  Uuid organization = context.organization, resource = IdOrNil(request.listing().resource_id());
  command.need = [organization, resource, content](ListingSet& set) {
    set.need_resources.insert(resource);
    if (!content.external_id().empty()) set.need_listing_keys.insert({organization, content.external_id()});
  };
  command.decide = [organization, resource, content](ListingSet& set) -> Result<std::string> {
    if (!set.OwnResource(resource, organization)) return Fail(Error::At("#/listing/resource_id", ErrorCode::kNotFound));
    MILLRACE_CHECK(CheckExternalId(set, {organization, content.external_id()}, {}));
    ListingRow& row = AddListing(set, organization, resource, content);
    Record(set, row, "listing.created");
    return ToMessage(row, true).SerializeAsString();
  };
  Result<v1::Listing> answer = co_await Submit<v1::Listing>(std::move(context), std::move(command));
  co_return std::move(answer);
}

Task<Result<v1::Listing>> ListingService::UpdateListing(CallContext context, v1::UpdateListingRequest request) {
  v1::Listing content = Content(request.listing());
  MILLRACE_CO_CHECK(Refuse(CheckListing(content, "#/listing")));
  Command command;
  command.header = postgres::CommandHeader::Of(context, "UpdateListing");
  Uuid organization = context.organization, id = IdOrNil(request.id());
  std::string if_match = context.if_match, resource = request.listing().resource_id();
  command.need = [organization, id, content](ListingSet& set) {
    set.need_listings.insert(id);
    if (!content.external_id().empty()) set.need_listing_keys.insert({organization, content.external_id()});
  };
  command.decide = [organization, id, content, if_match, resource](ListingSet& set) -> Result<std::string> {
    ListingRow* row = set.FindListing(id);
    if (!row || row->organization != organization) return Fail(ErrorCode::kNotFound);
    if (if_match != "*" && if_match != std::to_string(row->version)) return Fail(ErrorCode::kEtagMismatch);
    if (!domain::Next(row->state, Event::kUpdate, kProvider)) {
      return Fail(domain::StateConflict(row->state, Event::kUpdate, kProvider));
    }
    if (IdOrNil(resource) != row->resource) {
      ErrorParams params{{"expected", FormatId("res", row->resource)}};
      return Fail(Error::At("#/listing/resource_id", ErrorCode::kInvalidFormat, std::move(params)));
    }
    if (std::string missing = Missing(content); row->state != State::kDraft && !missing.empty()) {
      return Fail(ErrorCode::kListingIncomplete, {{"missing", missing}});
    }
    MILLRACE_CHECK(CheckExternalId(set, {organization, content.external_id()}, id));
    if (!row->message.external_id().empty()) set.listing_keys.erase({organization, row->message.external_id()});
    row->message = content;
    set.Index(*row);
    Record(set, *row, "listing.updated");
    return ToMessage(*row, true).SerializeAsString();
  };
  Result<v1::Listing> answer = co_await Submit<v1::Listing>(std::move(context), std::move(command));
  co_return std::move(answer);
}

Task<Result<v1::Listing>> ListingService::Act(CallContext context, v1::ListingVerbRequest request, Event event) {
  if (event == Event::kBlock && request.reason().empty()) {
    co_return Fail(Error::At("#/reason", ErrorCode::kRequired));
  }
  Command command;
  command.header = postgres::CommandHeader::Of(context, std::string(domain::Name(event)) + "Listing");
  Uuid organization = context.organization, id = IdOrNil(request.id());
  bool is_operator = context.IsOperator();
  command.need = [id](ListingSet& set) { set.need_listings.insert(id); };
  command.decide = [organization, id, is_operator, event, reason = request.reason(),
                    if_match = context.if_match](ListingSet& set) -> Result<std::string> {
    ListingRow* row = set.FindListing(id);
    if (!row || (row->organization != organization && !is_operator)) return Fail(ErrorCode::kNotFound);
    if (!if_match.empty() && if_match != "*" && if_match != std::to_string(row->version))
      return Fail(ErrorCode::kEtagMismatch);
    uint8_t actor =
        static_cast<uint8_t>((row->organization == organization ? kProvider : 0) | (is_operator ? kOperator : 0));
    MILLRACE_CHECK(ActOn(set, *row, event, actor, event == Event::kBlock ? reason : std::string()));
    return ToMessage(*row, true).SerializeAsString();
  };
  Result<v1::Listing> answer = co_await Submit<v1::Listing>(std::move(context), std::move(command));
  co_return std::move(answer);
}

Task<Result<void>> ListingService::EndReview(tasks::DueTask task) {
  Command command;
  command.header.method = "listing.review";
  postgres::EndedTask ended = task.Ended();
  Uuid id = task.subject;
  command.need = [id](ListingSet& set) { set.need_listings.insert(id); };
  command.decide = [id, ended](ListingSet& set) -> Result<std::string> {
    ListingRow* row = set.FindListing(id);
    // Whoever moved it on or moved the deadline has taken the timer away; a listing that is no longer complete cannot
    // be in review.
    if (row && row->state == State::kInReview && *row->deadline <= set.now) {
      MILLRACE_CHECK(ActOn(set, *row, Event::kPublish, kSystem, {}));
    }
    set.ended_tasks.push_back(ended);
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

Task<Result<v1::Listing>> ListingService::GetListing(CallContext context, v1::GetListingRequest request) {
  Result<ListingRow> row = co_await reads_.Listing(context, IdOrNil(request.id()));
  if (!row) co_return std::unexpected<Error>(std::move(row).error());
  v1::Listing message = ToMessage(*row, MaySeeActions(context, *row));
  context.reply->etag = message.etag();
  co_return std::move(message);
}

Task<Result<v1::ListListingsResponse>> ListingService::ListListings(CallContext context,
                                                                    v1::ListListingsRequest request) {
  ListingFilter filter;
  if (request.state() != v1::Listing::STATE_UNSPECIFIED) filter.state = v1::Listing::State_Name(request.state());
  filter.resource = IdOrNil(request.resource_id());
  filter.external_id = request.external_id();
  std::string key = FormatId("org", context.organization) + "|" + filter.state + "|" + request.resource_id() + "|" +
                    filter.external_id;
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), key));
  Result<std::vector<ListingRow>> rows = co_await reads_.Listings(context, page, filter);
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  v1::ListListingsResponse response;
  for (size_t i = 0; i < rows->size() && i < static_cast<size_t>(page.size); ++i) {
    *response.add_data() = ToMessage((*rows)[i], MaySeeActions(context, (*rows)[i]));
  }
  if (rows->size() > static_cast<size_t>(page.size)) {
    response.set_next_page_token(rpc::NextPageToken((*rows)[static_cast<size_t>(page.size) - 1].id, key));
  }
  co_return std::move(response);
}

Task<Result<v1::Price>> ListingService::PriceListing(CallContext context, v1::PriceListingRequest request) {
  Result<ListingRow> row = co_await reads_.Listing(context, IdOrNil(request.id()));
  if (!row) co_return std::unexpected<Error>(std::move(row).error());
  if (row->message.price_plan().steps_size() == 0) {
    ErrorParams params;
    params["missing"] = "price_plan";
    co_return Fail(ErrorCode::kListingIncomplete, std::move(params));
  }
  Interval window = terms::ToInterval(request.window());
  if (window.end <= window.start) co_return Fail(Error::At("#/window/end_time", ErrorCode::kEndBeforeStart));
  pricing::Plan plan = terms::ToPlan(row->message.price_plan());
  MILLRACE_CO_TRY(pricing::Price price, pricing::PriceWindow(plan, window, std::max(1, request.units())));
  co_return terms::ToMessage(price);
}

Task<Result<v1::ListProcessesResponse>> ListingService::ListProcesses(CallContext, v1::ListProcessesRequest request) {
  std::string q = FoldText(request.q());
  v1::ListProcessesResponse response;
  auto add = [&q](const std::vector<taxonomy::Node>& nodes, auto* out) {
    for (const taxonomy::Node& node : nodes) {
      auto holds = [&q](const std::string& text) { return FoldText(text).find(q) != std::string::npos; };
      bool wanted = q.empty() || holds(node.zh) || holds(node.en) || std::ranges::any_of(node.synonyms, holds);
      if (!wanted) continue;
      v1::TaxonomyNode* message = out->Add();
      message->set_code(node.code);
      message->set_parent(node.parent);
      message->set_zh(node.zh);
      message->set_en(node.en);
      for (const std::string& synonym : node.synonyms) message->add_synonyms(synonym);
    }
  };
  add(taxonomy::Taxonomy::BuiltIn().processes(), response.mutable_data());
  add(taxonomy::Taxonomy::BuiltIn().materials(), response.mutable_materials());
  co_return std::move(response);
}

Task<Result<v1::Bookable>> ListingService::GetBookable(CallContext, v1::GetBookableRequest request) {
  auto found = co_await reads_.Bookable(IdOrNil(request.listing_id()));
  if (!found) co_return std::unexpected<Error>(std::move(found).error());
  co_return ToBookable(found->first, &found->second);
}

Task<Result<v1::SnapshotListingsResponse>> ListingService::SnapshotListings(CallContext,
                                                                            v1::SnapshotListingsRequest request) {
  Uuid after;
  if (!request.after_id().empty()) {
    MILLRACE_CO_TRY(after, ParseId("lst", request.after_id(), "#/after_id"));
  }
  int most = request.limit() <= 0 || request.limit() > limits::kPageSizeMax ? limits::kPageSizeMax : request.limit();
  Result<Snapshot> snapshot = co_await reads_.Page(after, most + 1);
  if (!snapshot) co_return std::unexpected<Error>(std::move(snapshot).error());
  v1::SnapshotListingsResponse response;
  response.set_seq(snapshot->seq);
  response.set_more(snapshot->rows.size() > static_cast<size_t>(most));
  for (const auto& [listing, resource] : snapshot->rows) {
    if (response.data_size() < most) *response.add_data() = ToBookable(listing, &resource);
  }
  co_return std::move(response);
}

}  // namespace millrace::listing
