// SPDX-License-Identifier: Apache-2.0
#include "services/escrow/module.h"

#include "services/escrow/app/commands.h"
#include "services/escrow/app/custody.h"
#include "services/escrow/app/heard.h"
#include "services/escrow/app/queries.h"

namespace millrace {
std::span<const EmbeddedFile> EscrowMigrations();
}

namespace millrace::escrow {
namespace {

// Long enough for a bank, short enough that one silent call does not stop the others' due work for long.
constexpr std::chrono::seconds kCustodianTimeout{3};

class EscrowModule : public runtime::Module {
 public:
  explicit EscrowModule(runtime::Environment& environment)
      : core_("escrow", environment),
        store_(environment.settings->Int("fee_basis_points")),
        writer_(core_.executor(), core_.worker(), store_),
        custodian_(HttpCustodian(environment.settings->Get("custodian_url"), environment.settings->Get("custodian_key"),
                                 kCustodianTimeout)),
        custody_(core_.executor(), core_.worker(), writer_, core_.tasks(), *custodian_,
                 environment.settings->Get("custodian_secret")),
        commands_(writer_, custodian_->id()),
        queries_(core_.worker(), core_.reader(), core_.tasks(), *custodian_, custody_,
                 environment.settings->Get("custodian_account")),
        sink_(core_.worker(), writer_, NeedForEvent, ApplyEvent) {
    writer_.OnCommit([this] { core_.Committed(); });
    core_.Consume("credit", sink_);
    core_.Consume("identity", sink_);
    core_.tasks().Handle("escrow.expire",
                         [this](tasks::DueTask task) { return commands_.Expire(task.subject, task.Ended()); });
    Register();
  }

  rpc::Service& service() override { return core_.service(); }

  Task<Result<void>> Start() override {
    custody_.Start();
    core_.Start();
    co_return Result<void>();
  }

  void Stop() override {
    custody_.Stop();
    core_.Stop();
  }

 private:
  template <class Request, class Response, class Part>
  void On(const char* method, Part& part, Task<Result<Response>> (Part::*handler)(CallContext, Request)) {
    core_.service().On<Request, Response>(std::string("millrace.escrow.v1.EscrowService.") + method,
                                          [&part, handler](CallContext context, Request request) {
                                            return (part.*handler)(std::move(context), std::move(request));
                                          });
  }

  void Register() {
    On("GetBalance", queries_, &Queries::GetBalance);
    On("GetEscrow", queries_, &Queries::GetEscrow);
    On("ListEscrows", queries_, &Queries::ListEscrows);
    On("ListTransfers", queries_, &Queries::ListTransfers);
    On("VerifyLedger", queries_, &Queries::VerifyLedger);
    On("ReleaseEscrow", commands_, &Commands::Release);
    On("CustodianNotice", custody_, &Custody::Notice);
    On("Hold", commands_, &Commands::Hold);
    On("Void", commands_, &Commands::Void);
    On("Capture", commands_, &Commands::Capture);
  }

  runtime::ServiceCore core_;
  EscrowStore store_;
  postgres::Writer<EscrowSet> writer_;
  std::unique_ptr<Custodian> custodian_;
  Custody custody_;
  Commands commands_;
  Queries queries_;
  events::WriterSink<EscrowSet> sink_;
};

}  // namespace

std::unique_ptr<runtime::Module> MakeModule(runtime::Environment& environment) {
  return std::make_unique<EscrowModule>(environment);
}

std::span<const EmbeddedFile> Migrations() { return EscrowMigrations(); }

}  // namespace millrace::escrow
