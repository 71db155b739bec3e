// SPDX-License-Identifier: Apache-2.0
#include "services/credit/app/credit.h"

#include "common/postgres/asking.h"
#include "common/rpc/page.h"
#include "services/credit/app/explain.h"

namespace millrace::credit {
namespace {

using postgres::Asking;
using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;

// How long a review waits for its booking's closing to arrive here.
constexpr std::chrono::milliseconds kReadOwnWrites{1000};

constexpr Statement kReadCredit = {"credit_read", "SELECT * FROM read_credit($1, $2, $3, $4)"};
constexpr Statement kReadLog = {"credit_read_log", "SELECT * FROM read_log($1, $2, $3, $4)"};
constexpr Statement kListFacts = {"credit_list_facts", "SELECT * FROM list_facts($1, $2, $3, $4, $5, $6)"};
constexpr Statement kListReviews = {"credit_list_reviews", "SELECT * FROM list_reviews($1, $2, $3, $4, $5)"};

bool SeesDetail(const CallContext& context, const Uuid& organization) {
  return context.organization == organization || context.IsOperator();
}

// What a page token is good for: this caller and these filters.
template <class Request>
std::string FilterOf(const CallContext& context, Request request) {
  request.clear_page_size();
  request.clear_page_token();
  return FormatId("org", context.organization) + (context.IsOperator() ? "+" : "-") + request.SerializeAsString();
}

// Turns one row more than the page holds into the next page's token.
template <class Response, class Read>
Response PageOf(const Rows& rows, int size, const std::string& filter, Read read) {
  Response response;
  Uuid last;
  for (size_t i = 0; i < rows.size() && i < static_cast<size_t>(size); ++i) {
    auto item = read(rows[i]);
    last = item.id;
    *response.add_data() = ToProto(item);
  }
  if (rows.size() > static_cast<size_t>(size)) response.set_next_page_token(rpc::NextPageToken(last, filter));
  return response;
}

}  // namespace

Task<Result<v1::Review>> Credit::CreateReview(CallContext context, v1::CreateReviewRequest request) {
  co_await core_.CatchUpWith("operations", kReadOwnWrites);
  postgres::Command<CreditSet> command;
  command.header = postgres::CommandHeader::Of(context, "CreateReview");
  command.header.validate_only = context.validate_only || request.validate_only();
  Uuid booking = IdOrNil(request.review().booking_id());
  command.need = [booking](CreditSet& set) { set.bookings.insert(booking); };
  command.decide = [author = context.organization, review = request.review(),
                    id = Uuid::New()](CreditSet& set) -> Result<std::string> {
    MILLRACE_TRY(Review written, WriteReview(set, author, review, id));
    return ToProto(written).SerializeAsString();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::Review response;
  response.ParseFromString(outcome->response);
  context.reply->replayed = outcome->replayed;
  context.reply->etag = response.etag();
  co_return std::move(response);
}

Task<Result<void>> Credit::EndReviewWindow(tasks::DueTask task) {
  postgres::Command<CreditSet> command;
  command.header.method = kPublishTask;
  Uuid booking = task.subject;
  command.need = [booking](CreditSet& set) { set.bookings.insert(booking); };
  command.decide = [booking, ended = task.Ended()](CreditSet& set) -> Result<std::string> {
    PublishReviews(set, booking);
    set.ended_tasks.push_back(ended);
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

Task<Result<v1::ListReviewsResponse>> Credit::ListReviews(CallContext context, v1::ListReviewsRequest request) {
  std::string filter = FilterOf(context, request);
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Params params = Asking(context).Id(IdOrNil(request.booking_id())).Id(page.after).Int(page.size + 1);
  Result<Rows> rows = co_await core_.reader().Query(kListReviews, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return PageOf<v1::ListReviewsResponse>(*rows, page.size, filter, [](Row row) { return ReviewOf(row); });
}

Task<Result<v1::ListCreditFactsResponse>> Credit::ListCreditFacts(CallContext context,
                                                                  v1::ListCreditFactsRequest request) {
  Uuid organization = IdOrNil(request.organization_id());
  if (!SeesDetail(context, organization)) co_return Fail(ErrorCode::kNotFound);
  std::string filter = FilterOf(context, request);
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Params params = Asking(context).Id(organization).Int(request.role()).Id(page.after).Int(page.size + 1);
  Result<Rows> rows = co_await core_.reader().Query(kListFacts, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return PageOf<v1::ListCreditFactsResponse>(*rows, page.size, filter, [](Row row) { return FactOf(row); });
}

Task<Result<std::vector<domain::Fact>>> Credit::ReadLog(CallContext context, Uuid organization, domain::Role role) {
  Params params = Asking(context).Id(organization).Int(static_cast<int64_t>(role));
  Result<Rows> rows = co_await core_.reader().Query(kReadLog, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::vector<domain::Fact> facts;
  for (Row row : *rows) facts.push_back(FactOf(row));
  co_return std::move(facts);
}

Task<Result<v1::OrganizationCredit>> Credit::GetOrganizationCredit(CallContext context,
                                                                   v1::GetOrganizationCreditRequest request) {
  Uuid organization = IdOrNil(request.organization_id());
  Params params = Asking(context).Id(organization).Int(request.role());
  Params again = params;
  Result<Rows> rows = co_await core_.reader().Query(kReadCredit, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  if (rows->empty()) {
    // It may have been registered a moment ago.
    bool there = co_await core_.CatchUpWith("identity", std::chrono::milliseconds(200));
    (void)there;
    rows = co_await core_.reader().Query(kReadCredit, std::move(again));
    if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  }
  if (rows->empty()) co_return Fail(ErrorCode::kNotFound);
  v1::OrganizationCredit response;
  response.set_organization_id(request.organization_id());
  for (Row row : *rows) {
    CreditRow credit = CreditOf(row, 1);
    v1::RoleCredit& out = *response.add_roles();
    out = ToProto(credit);
    out.set_stale(credit.evidence_time && row.At(0) - *credit.evidence_time > domain::kStaleAfter);
    if (!SeesDetail(context, organization)) continue;
    Result<std::vector<domain::Fact>> facts = co_await ReadLog(context, organization, credit.role);
    if (!facts) co_return std::unexpected<Error>(std::move(facts).error());
    *out.mutable_explanation() = Explain(credit.role, *facts, credit.standing);
  }
  co_return std::move(response);
}

}  // namespace millrace::credit
