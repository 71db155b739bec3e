// SPDX-License-Identifier: Apache-2.0
#include "services/escrow/app/queries.h"

#include "common/base/money.h"
#include "common/base/words.h"
#include "common/rpc/page.h"

namespace millrace::escrow {

using Check = v1::VerifyLedgerResponse::Check;

namespace {

Asking Who(const CallContext& context) {
  Asking asking;
  asking.organization = context.organization;
  asking.roles = JoinWords(context.roles);
  return asking;
}

// What a page token is good for: the caller and the request without its page.
template <class Request>
std::string PageFilter(const CallContext& context, Request request) {
  request.clear_page_size();
  request.clear_page_token();
  return context.organization.Hex() + request.SerializeAsString();
}

}  // namespace

Audience Queries::AudienceOf(const CallContext& context, const domain::Escrow& escrow) const {
  bool sees = context.organization == escrow.buyer || context.IsOperator() || context.IsService();
  return {sees, custodian_.id()};
}

Task<Result<v1::Balance>> Queries::GetBalance(CallContext context, v1::GetBalanceRequest request) {
  if (context.organization.IsNil()) co_return Fail(ErrorCode::kNotFound);
  std::string currency = request.currency().empty() ? std::string("CNY") : request.currency();
  Result<BalanceView> read = co_await ReadBalance(reader_, Who(context), currency);
  MILLRACE_CO_TRY(BalanceView view, std::move(read));
  if (view.payment_reference.empty()) {
    // Whoever is told a reference must be found by it.
    view.payment_reference = ReferenceOf(context.organization);
    Result<void> kept = co_await KeepReference(worker_, context.organization, view.payment_reference);
    MILLRACE_CO_CHECK(std::move(kept));
  }
  if (account_.empty()) {
    Result<CustodianAccount> account = co_await custodian_.Account();
    if (account) account_ = account->number;  // without an answer the field stays empty until the next question
  }
  v1::Balance balance;
  balance.set_organization_id(FormatId("org", context.organization));
  for (auto [money, amount] :
       {std::pair(balance.mutable_available(), view.available), std::pair(balance.mutable_held(), view.held),
        std::pair(balance.mutable_payable(), view.payable)}) {
    money->set_amount(amount);
    money->set_currency(currency);
  }
  balance.set_payment_reference(view.payment_reference);
  balance.set_custodian_account(account_);
  co_return std::move(balance);
}

Task<Result<v1::Escrow>> Queries::GetEscrow(CallContext context, v1::GetEscrowRequest request) {
  EscrowFilter filter;
  filter.id = IdOrNil(request.id());
  Result<std::vector<EscrowView>> read = co_await ReadEscrows(reader_, Who(context), std::move(filter));
  MILLRACE_CO_TRY(std::vector<EscrowView> views, std::move(read));
  if (views.empty()) co_return Fail(ErrorCode::kNotFound);
  v1::Escrow escrow = ToMessage(views[0].escrow, AudienceOf(context, views[0].escrow));
  context.reply->etag = escrow.etag();
  co_return std::move(escrow);
}

Task<Result<v1::ListEscrowsResponse>> Queries::ListEscrows(CallContext context, v1::ListEscrowsRequest request) {
  std::string key = PageFilter(context, request);
  Result<rpc::Page> read_page = rpc::ReadPage(request.page_size(), request.page_token(), key);
  MILLRACE_CO_TRY(rpc::Page page, std::move(read_page));
  EscrowFilter filter;
  if (!request.booking_id().empty()) filter.booking = IdOrNil(request.booking_id());
  if (request.state() != v1::Escrow::STATE_UNSPECIFIED) filter.state = v1::Escrow::State_Name(request.state());
  filter.older_than = page.after;
  filter.at_most = page.size + 1;
  Result<std::vector<EscrowView>> read = co_await ReadEscrows(reader_, Who(context), std::move(filter));
  MILLRACE_CO_TRY(std::vector<EscrowView> views, std::move(read));
  v1::ListEscrowsResponse response;
  size_t size = static_cast<size_t>(page.size);
  if (views.size() > size) {
    views.resize(size);
    response.set_next_page_token(rpc::NextPageToken(views.back().escrow.id, key));
  }
  for (const EscrowView& view : views) *response.add_data() = ToMessage(view.escrow, AudienceOf(context, view.escrow));
  co_return std::move(response);
}

Task<Result<v1::ListTransfersResponse>> Queries::ListTransfers(CallContext context, v1::ListTransfersRequest request) {
  std::string key = PageFilter(context, request);
  Result<rpc::Page> read_page = rpc::ReadPage(request.page_size(), request.page_token(), key);
  MILLRACE_CO_TRY(rpc::Page page, std::move(read_page));
  Uuid escrow = request.escrow_id().empty() ? Uuid() : IdOrNil(request.escrow_id());
  int at_most = page.size + 1;
  Result<std::vector<domain::Transfer>> read =
      co_await ReadTransfers(reader_, Who(context), escrow, page.after, at_most);
  MILLRACE_CO_TRY(std::vector<domain::Transfer> transfers, std::move(read));
  v1::ListTransfersResponse response;
  size_t size = static_cast<size_t>(page.size);
  if (transfers.size() > size) {
    transfers.resize(size);
    response.set_next_page_token(rpc::NextPageToken(transfers.back().id, key));
  }
  for (const domain::Transfer& transfer : transfers) *response.add_data() = ToMessage(transfer);
  co_return std::move(response);
}

Task<Result<v1::VerifyLedgerResponse>> Queries::VerifyLedger(CallContext context, v1::VerifyLedgerRequest request) {
  (void)context;
  (void)request;
  v1::VerifyLedgerResponse response;
  // The custodian first: asking it may bring pay-ins, which the other checks then see too.
  Check custodian = co_await CompareWithCustodian();
  Result<std::vector<LedgerCheck>> read = co_await CheckLedger(worker_);
  MILLRACE_CO_TRY(std::vector<LedgerCheck> checks, std::move(read));
  bool passed = custodian.passed();
  for (const LedgerCheck& check : checks) {
    Check* out = response.add_checks();
    out->set_name(check.name);
    out->set_passed(check.faults == 0);
    out->set_detail(check.detail);
    passed = passed && check.faults == 0;
  }
  *response.add_checks() = std::move(custodian);
  response.set_passed(passed);
  co_return std::move(response);
}

Task<Result<Check>> Queries::CompareOnce() {
  Result<void> fetched = co_await custody_.FetchPayIns();
  MILLRACE_CO_CHECK(std::move(fetched));
  Result<CustodianAccount> answer = co_await custodian_.Account();
  MILLRACE_CO_TRY(CustodianAccount account, std::move(answer));
  Result<CustodianPosition> read = co_await ReadCustodianPosition(worker_, account.currency);
  MILLRACE_CO_TRY(CustodianPosition position, std::move(read));
  Check check;
  check.set_name("custodian_agrees");
  check.set_passed(account.balance == position.balance);
  std::string detail = "custodian " + FormatMoney({account.balance, account.currency}) + ", ledger " +
                       FormatMoney({position.balance, account.currency});
  if (!check.passed()) detail += ", difference " + FormatMoney({account.balance - position.balance, account.currency});
  if (!position.open.empty()) detail += "; pay-outs without a known outcome:";
  for (const domain::PayOut& open : position.open) {
    detail += " " + FormatInstruction(open.id) + " of " + FormatId("esc", open.escrow) + " " +
              FormatMoney({open.amount, open.currency});
  }
  check.set_detail(detail);
  co_return std::move(check);
}

// Both sides move while they are compared: a difference counts when it stays, with open pay-outs asked for in between.
Task<Check> Queries::CompareWithCustodian() {
  constexpr int kRounds = 3;
  Check check;
  check.set_name("custodian_agrees");
  for (int round = 1; round <= kRounds; ++round) {
    Result<Check> compared = co_await CompareOnce();
    if (!compared) {
      check.set_passed(false);
      check.set_detail("the custodian does not answer: " + compared.error().cause);
      co_return std::move(check);
    }
    check = *std::move(compared);
    if (check.passed() || round == kRounds) co_return std::move(check);
    Result<CustodianPosition> read = co_await ReadCustodianPosition(worker_, "CNY");
    if (read) {
      for (const domain::PayOut& open : read->open) {
        Result<void> asked = co_await tasks_.RunNow(PayOutTask(open.escrow));
        (void)asked;  // what it brought is seen in the next round
      }
    }
    co_await Sleep(std::chrono::milliseconds(200));
  }
  co_return std::move(check);
}

}  // namespace millrace::escrow
