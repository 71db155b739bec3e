// SPDX-License-Identifier: Apache-2.0
#include "services/credit/module.h"

#include "services/credit/app/credit.h"

namespace millrace {
std::span<const EmbeddedFile> CreditMigrations();
}

namespace millrace::credit {
namespace {

class CreditModule : public runtime::Module {
 public:
  explicit CreditModule(runtime::Environment& environment)
      : core_("credit", environment),
        writer_(environment.executor, core_.worker(), store_),
        credit_(core_, writer_),
        sink_(core_.worker(), writer_, NeedOf, Apply) {
    writer_.OnCommit([this] { core_.Committed(); });
    On("CreateReview", &Credit::CreateReview);
    On("ListReviews", &Credit::ListReviews);
    On("GetOrganizationCredit", &Credit::GetOrganizationCredit);
    On("ListCreditFacts", &Credit::ListCreditFacts);
    core_.tasks().Handle(kPublishTask,
                         [this](tasks::DueTask task) { return credit_.EndReviewWindow(std::move(task)); });
    core_.Consume("identity", sink_);
    core_.Consume("operations", sink_);
  }

  rpc::Service& service() override { return core_.service(); }
  Task<Result<void>> Start() override {
    core_.Start();
    co_return Result<void>();
  }
  void Stop() override { core_.Stop(); }

 private:
  template <class Request, class Response>
  void On(const char* method, Task<Result<Response>> (Credit::*use_case)(CallContext, Request)) {
    core_.service().On<Request, Response>(std::string("millrace.credit.v1.Credit.") + method,
                                          [this, use_case](CallContext context, Request request) {
                                            return (credit_.*use_case)(std::move(context), std::move(request));
                                          });
  }

  runtime::ServiceCore core_;
  CreditStore store_;
  postgres::Writer<CreditSet> writer_;
  Credit credit_;
  events::WriterSink<CreditSet> sink_;
};

}  // namespace

std::unique_ptr<runtime::Module> MakeModule(runtime::Environment& environment) {
  return std::make_unique<CreditModule>(environment);
}

std::span<const EmbeddedFile> Migrations() { return CreditMigrations(); }

}  // namespace millrace::credit
