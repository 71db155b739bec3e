// SPDX-License-Identifier: Apache-2.0
#include "services/matching/module.h"

#include "services/matching/app/demands.h"
#include "services/matching/app/follow.h"
#include "services/matching/app/wire.h"
#include "services/matching/domain/match.h"
#include "services/matching/store/reads.h"

namespace millrace {
std::span<const EmbeddedFile> MatchingMigrations();
}

namespace millrace::matching {
namespace {

constexpr int kMatchesDefault = 10;
constexpr std::chrono::milliseconds kCatchUp{200};
// Below this a match is answered on the loop: it takes less than the way to the pool and back disturbs.
constexpr size_t kInlineRows = 500;

class MatchingModule : public runtime::Module {
 public:
  explicit MatchingModule(runtime::Environment& environment)
      : core_("matching", environment),
        writer_(environment.executor, core_.worker(), store_),
        demands_(writer_, core_.reader()),
        listing_(environment.channel, index_),
        operations_(environment.channel, index_, core_.worker(), writer_),
        credit_(index_, core_.worker(), writer_) {
    writer_.OnCommit([this] { core_.Committed(); });
    core_.Consume("listing", listing_);
    core_.Consume("operations", operations_);
    core_.Consume("credit", credit_);
    Register();
  }

  rpc::Service& service() override { return core_.service(); }

  // The index fills in the background: a match before that is UNAVAILABLE.
  Task<Result<void>> Start() override {
    core_.Start();
    co_return Result<void>();
  }

  void Stop() override { core_.Stop(); }

 private:
  template <class Request, class Response>
  void On(const char* method, Task<Result<Response>> (Demands::*use_case)(CallContext, Request)) {
    core_.service().On<Request, Response>(std::string("millrace.matching.v1.Matching.") + method,
                                          [this, use_case](CallContext context, Request request) {
                                            return (demands_.*use_case)(std::move(context), std::move(request));
                                          });
  }

  void Register() {
    On("CreateDemand", &Demands::Create);
    On("GetDemand", &Demands::Get);
    On("ListDemands", &Demands::List);
    On("PublishDemand", &Demands::Publish);
    On("WithdrawDemand", &Demands::Withdraw);
    core_.service().On<v1::MatchDemandRequest, v1::MatchDemandResponse>(
        "millrace.matching.v1.Matching.MatchDemand", [this](CallContext context, v1::MatchDemandRequest request) {
          return MatchDemand(std::move(context), std::move(request));
        });
    core_.tasks().Handle(std::string(kExpireTask),
                         [this](tasks::DueTask task) { return demands_.Expire(std::move(task)); });
  }

  Task<Result<v1::MatchDemandResponse>> MatchDemand(CallContext context, v1::MatchDemandRequest request) {
    MILLRACE_CO_TRY(Uuid id, ParseId("dem", request.id()));
    Uuid asking = context.organization;
    Result<std::optional<FoundDemand>> read = co_await ReadDemand(core_.reader(), std::move(context), id);
    MILLRACE_CO_TRY(std::optional<FoundDemand> found, std::move(read));
    if (!found || found->message.organization_id() != FormatId("org", asking)) co_return Fail(ErrorCode::kNotFound);
    // One reads one's own writes, if they come within a moment; else what there is, with its positions.
    co_await core_.CatchUpWith("listing", kCatchUp);
    co_await core_.CatchUpWith("operations", kCatchUp);
    if (!listing_.ready() || !operations_.ready()) co_return Fail(ErrorCode::kUnavailable);
    domain::Need need = ToNeed(found->message);
    Time now = found->now;
    size_t limit = static_cast<size_t>(request.limit() == 0 ? kMatchesDefault : request.limit());
    // Held here, on the loop, until the work is done: the index copies itself before it changes.
    std::shared_ptr<const domain::IndexData> data = index_.Snapshot();
    const domain::IndexData* rows = data.get();
    std::function<v1::MatchDemandResponse()> work = [rows, need, now, limit] {
      return ToMessage(domain::FindMatches(*rows, need, now, limit), need);
    };
    v1::MatchDemandResponse response;
    auto& positions = *response.mutable_positions();
    positions["listing"] = listing_.position();
    positions["operations"] = operations_.position();
    positions["credit"] = credit_.position();
    v1::MatchDemandResponse answer;
    if (data->rows.size() < kInlineRows || core_.environment().compute == nullptr) {
      answer = work();
    } else {
      ThreadPool& pool = *core_.environment().compute;
      answer = co_await RunOn(pool, std::move(work));
    }
    response.MergeFrom(answer);
    co_return std::move(response);
  }

  runtime::ServiceCore core_;
  DemandStore store_;
  postgres::Writer<DemandSet> writer_;
  Demands demands_;
  domain::Index index_;
  ListingFollower listing_;
  OperationsFollower operations_;
  CreditFollower credit_;
};

}  // namespace

std::unique_ptr<runtime::Module> MakeModule(runtime::Environment& environment) {
  return std::make_unique<MatchingModule>(environment);
}

std::span<const EmbeddedFile> Migrations() { return MatchingMigrations(); }

}  // namespace millrace::matching
