// SPDX-License-Identifier: Apache-2.0
#include "services/escrow/app/custody.h"

#include "common/base/crash_point.h"
#include "common/crypto/crypto.h"
#include "common/telemetry/log.h"
#include "services/escrow/domain/reference.h"

namespace millrace::escrow {

using domain::PayOutStep;
using tasks::DueTask;
using telemetry::Level;

namespace {

constexpr std::chrono::seconds kPollEvery{30};
// A notice is handled at once; its task comes up only if that did not end.
constexpr std::chrono::seconds kNoticeRetry{10};
constexpr std::chrono::hours kPayOutRetry{24};

std::string Header(const CallContext& context, const std::string& name) {
  auto found = context.headers.find(name);
  return found == context.headers.end() ? std::string() : found->second;
}

Error NotYet(std::string cause) {
  Error error(ErrorCode::kCustodianUnavailable);
  error.cause = std::move(cause);
  return error;
}

void NeedPayIn(EscrowSet& set, const domain::PayIn& pay_in) {
  set.pay_in_ids.insert(pay_in.id);
  set.suspense_currencies.insert(pay_in.currency);
  for (const std::string& reference : domain::FindReferences(pay_in.reference)) {
    set.references.insert(reference);
    set.credited.emplace(reference, pay_in.currency);
  }
}

// Whom the remark names; nil if it names nobody, or several.
Uuid OrganizationOf(const EscrowSet& set, const std::string& remark) {
  std::set<Uuid> named;
  for (const std::string& reference : domain::FindReferences(remark)) {
    auto found = set.book.references.find(reference);
    if (found != set.book.references.end()) named.insert(found->second);
  }
  return named.size() == 1 ? *named.begin() : Uuid();
}

}  // namespace

Custody::Custody(Executor executor, postgres::Database& worker, postgres::Writer<EscrowSet>& writer,
                 tasks::Runner& tasks, Custodian& custodian, std::string secret)
    : executor_(executor),
      worker_(worker),
      writer_(writer),
      tasks_(tasks),
      custodian_(custodian),
      secret_(std::move(secret)),
      wakeup_(executor) {}

void Custody::Start() {
  tasks_.Handle("escrow.notice", [this](DueTask task) { return RunNotice(std::move(task)); });
  tasks_.Handle("escrow.pay_out", [this](DueTask task) { return RunPayOut(std::move(task)); });
  Spawn(executor_, Poll(), "escrow.poll");
}

void Custody::Stop() {
  stopped_ = true;
  wakeup_.Signal();
}

Task<void> Custody::Poll() {
  while (!stopped_) {
    Result<void> fetched = co_await FetchPayIns();
    if (!fetched) {
      telemetry::Log(Level::kWarning, "custodian.poll_failed",
                     {{"code", Name(fetched.error().code)}, {"cause", fetched.error().cause}});
    }
    co_await wakeup_.Wait(kPollEvery);
  }
}

Task<Result<void>> Custody::FetchPayIns() {
  while (true) {
    Result<int64_t> cursor = co_await ReadCursor(worker_);
    MILLRACE_CO_TRY(int64_t after, std::move(cursor));
    Result<PayInPage> answer = co_await custodian_.PayIns(after);
    MILLRACE_CO_TRY(PayInPage page, std::move(answer));
    if (page.pay_ins.empty() || page.next_after <= after) co_return Result<void>();
    Result<void> credited = co_await Credit(std::move(page.pay_ins), page.next_after, std::nullopt);
    MILLRACE_CO_CHECK(std::move(credited));
  }
}

Task<Result<void>> Custody::Credit(std::vector<domain::PayIn> pay_ins, std::optional<int64_t> cursor,
                                   std::optional<postgres::EndedTask> ended) {
  std::string custodian = custodian_.id();
  auto shared = std::make_shared<std::vector<domain::PayIn>>(std::move(pay_ins));
  postgres::Command<EscrowSet> command;
  command.header.method = "credit";
  command.need = [shared](EscrowSet& set) {
    for (const domain::PayIn& pay_in : *shared) NeedPayIn(set, pay_in);
  };
  command.decide = [=](EscrowSet& set) -> Result<std::string> {
    for (domain::PayIn pay_in : *shared) {
      pay_in.organization = OrganizationOf(set, pay_in.reference);
      // The adapter lets only sound pay-ins pass: a refusal here is a fault of ours, and stops before anything is kept.
      Result<void> credited = set.book.Credit(std::move(pay_in));
      if (!credited) throw std::runtime_error(credited.error().cause);
    }
    if (cursor) set.cursor = std::max(set.cursor.value_or(0), *cursor);
    if (ended) set.ended_tasks.push_back(*ended);
    Publish(set, custodian);
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

Task<Result<v1::CustodianNoticeResponse>> Custody::Notice(CallContext context, v1::CustodianNoticeRequest request) {
  std::string id = Header(context, "webhook-id");
  int64_t now = Micros(WallNow()) / 1'000'000;
  bool genuine = !secret_.empty() && id == request.notice_id() &&
                 crypto::VerifyWebhook(secret_, id, Header(context, "webhook-timestamp"),
                                       Header(context, "webhook-signature"), context.raw_body, now);
  if (!genuine) co_return Fail(ErrorCode::kSignatureInvalid);

  escrow::Notice notice{request.notice_id(), request.kind(), request.transfer_id(), false};
  Uuid task = Uuid::New();
  auto fresh = std::make_shared<bool>(false);
  postgres::Command<EscrowSet> command;
  command.header.method = "notice";
  command.header.traceparent = context.traceparent;
  command.need = [notice](EscrowSet& set) { set.notices.emplace(notice.notice_id, notice); };
  command.decide = [notice, task, fresh](EscrowSet& set) -> Result<std::string> {
    *fresh = !set.notices[notice.notice_id].known && set.new_notices.insert(notice.notice_id).second;
    if (*fresh) {
      set.tasks.push_back(
          {task, "escrow.notice", task, set.now + kNoticeRetry, notice.kind + " " + notice.transfer_id});
    }
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  CrashPoint("escrow.after_pay_in_notice");
  // The custodian waits for this answer only, not for our question to it.
  if (*fresh) Spawn(executor_, RunInBackground(task), "escrow.notice");
  co_return v1::CustodianNoticeResponse();
}

Task<void> Custody::RunInBackground(Uuid task) {
  Result<void> ran = co_await tasks_.RunNow(task);
  if (!ran) telemetry::Log(Level::kWarning, "escrow.task_failed", {{"cause", ran.error().cause}});
}

Task<Result<void>> Custody::End(postgres::EndedTask ended) {
  postgres::Command<EscrowSet> command;
  command.header.method = "end";
  command.decide = [ended](EscrowSet& set) -> Result<std::string> {
    set.ended_tasks.push_back(ended);
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

// A notice is a hint: what came in, and what became of a pay-out, the custodian is asked.
Task<Result<void>> Custody::RunNotice(DueTask task) {
  size_t blank = task.payload.find(' ');
  std::string kind = task.payload.substr(0, blank), transfer = task.payload.substr(blank + 1);
  postgres::EndedTask ended = task.Ended();
  if (kind == "pay_in") {
    Result<std::optional<domain::PayIn>> found = co_await custodian_.FindPayIn(transfer);
    MILLRACE_CO_TRY(std::optional<domain::PayIn> pay_in, std::move(found));
    std::vector<domain::PayIn> pay_ins;
    if (pay_in) pay_ins.push_back(*std::move(pay_in));
    Result<void> credited = co_await Credit(std::move(pay_ins), std::nullopt, ended);
    co_return std::move(credited);
  }
  if (kind == "pay_out" && IsId("pyo", transfer)) {
    Uuid instruction = IdOrNil(transfer);
    Result<Uuid> escrow = co_await EscrowOfPayOut(worker_, instruction);
    MILLRACE_CO_TRY(Uuid id, std::move(escrow));
    if (!id.IsNil()) {
      Result<void> ran = co_await tasks_.RunNow(PayOutTask(id));
      MILLRACE_CO_CHECK(std::move(ran));
    }
  }
  Result<void> done = co_await End(ended);
  co_return std::move(done);
}

Task<Result<void>> Custody::Change(std::string method, Uuid escrow, std::function<Result<void>(EscrowSet&)> decide) {
  std::string custodian = custodian_.id();
  postgres::Command<EscrowSet> command;
  command.header.method = std::move(method);
  command.need = [escrow](EscrowSet& set) { set.escrow_ids.insert(escrow); };
  command.decide = [decide = std::move(decide), custodian](EscrowSet& set) -> Result<std::string> {
    MILLRACE_CHECK(decide(set));
    Publish(set, custodian);
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

// SENT stands in the database before the custodian hears of it.
Task<Result<Custody::Begun>> Custody::Begin(DueTask task) {
  auto begun = std::make_shared<Begun>();
  auto decide = [begun, task](EscrowSet& set) -> Result<void> {
    *begun = Begun();
    auto found = set.book.escrows.find(task.subject);
    int attempt = found == set.book.escrows.end() ? 0 : found->second.payout_attempt;
    if (found != set.book.escrows.end()) begun->provider = found->second.provider;
    begun->step = set.book.BeginPayOut(task.subject, InstructionId(task.subject, attempt + 1), &begun->instruction);
    if (begun->step == PayOutStep::kNothing || begun->step == PayOutStep::kWait)
      set.ended_tasks.push_back(task.Ended());
    if (begun->step == PayOutStep::kWait) {
      Time due = std::max(found->second.payout_time, set.now);
      if (due == set.now) due += kPayOutRetry;
      set.tasks.push_back({task.id, task.kind, task.subject, due, {}});
    }
    return {};
  };
  Result<void> changed = co_await Change("begin_pay_out", task.subject, std::move(decide));
  MILLRACE_CO_CHECK(std::move(changed));
  co_return std::move(*begun);
}

Task<Result<std::optional<PayOutAnswer>>> Custody::Instruct(Begun begun) {
  std::string id = FormatInstruction(begun.instruction.id);
  if (begun.step == PayOutStep::kAsk) {
    Result<std::optional<PayOutAnswer>> found = co_await custodian_.FindPayOut(id);
    MILLRACE_CO_TRY(std::optional<PayOutAnswer> answer, std::move(found));
    if (answer || begun.instruction.held_back) co_return std::move(answer);
  }
  PayOutInstruction instruction;
  instruction.id = id;
  instruction.amount = begun.instruction.amount;
  instruction.currency = begun.instruction.currency;
  instruction.beneficiary_name = begun.instruction.beneficiary_name;
  instruction.beneficiary_account = FormatId("org", begun.provider);
  instruction.purpose = FormatId("esc", begun.instruction.escrow);
  Result<PayOutAnswer> sent = co_await custodian_.SendPayOut(std::move(instruction));
  MILLRACE_CO_TRY(PayOutAnswer answer, std::move(sent));
  co_return std::optional<PayOutAnswer>(std::move(answer));
}

Task<Result<void>> Custody::RunPayOut(DueTask task) {
  Result<Begun> first = co_await Begin(task);
  MILLRACE_CO_TRY(Begun begun, std::move(first));
  if (begun.step == PayOutStep::kNothing || begun.step == PayOutStep::kWait) co_return Result<void>();
  Uuid instruction = begun.instruction.id;
  Result<std::optional<PayOutAnswer>> told = co_await Instruct(std::move(begun));
  std::function<Result<void>(EscrowSet&)> decide;
  auto again_tomorrow = [task](EscrowSet& set) {
    set.ended_tasks.push_back(task.Ended());
    set.tasks.push_back({task.id, task.kind, task.subject, set.now + kPayOutRetry, {}});
  };
  Result<void> outcome;
  if (!told) {
    decide = [instruction](EscrowSet& set) -> Result<void> {
      set.book.PayOutUnknown(instruction);
      return {};
    };
    outcome = std::unexpected<Error>(told.error());
  } else if (!*told) {
    decide = [again_tomorrow](EscrowSet& set) -> Result<void> {
      again_tomorrow(set);
      return {};
    };
  } else if ((*told)->state == PayOutAnswer::State::kPending) {
    co_return Fail(NotYet("the pay-out is pending"));
  } else if ((*told)->state == PayOutAnswer::State::kDone) {
    decide = [instruction, task](EscrowSet& set) -> Result<void> {
      MILLRACE_CHECK(set.book.PaidOut(instruction));
      set.ended_tasks.push_back(task.Ended());
      return {};
    };
  } else {
    std::string reason = (*told)->reason;
    telemetry::Log(Level::kWarning, "escrow.pay_out_failed",
                   {{"escrow", FormatId("esc", task.subject)}, {"reason", reason}});
    decide = [=](EscrowSet& set) -> Result<void> {
      set.book.PayOutFailed(instruction, reason, kPayOutRetry);
      again_tomorrow(set);
      return {};
    };
  }
  Result<void> changed = co_await Change("pay_out", task.subject, std::move(decide));
  MILLRACE_CO_CHECK(std::move(changed));
  co_return std::move(outcome);
}

}  // namespace millrace::escrow
