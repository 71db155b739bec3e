// SPDX-License-Identifier: Apache-2.0
#include "services/operations/module.h"

#include "services/operations/app/operations.h"

namespace millrace {
std::span<const EmbeddedFile> OperationsMigrations();
}

namespace millrace::operations {

Operations::Operations(Ports ports)
    : ports_(std::move(ports)),
      writer_(ports_.executor, ports_.worker, store_),
      sink_(ports_.worker, writer_, NeedFor, ApplyFact) {}

namespace {

class OperationsModule : public runtime::Module {
 public:
  explicit OperationsModule(runtime::Environment& environment)
      : core_("operations", environment),
        operations_(Ports{core_.executor(), core_.worker(), core_.reader(), core_.tasks(),
                          [this](std::string_view name) -> rpc::Channel& { return core_.channel(name); }}) {
    operations_.HandleTasks();
    operations_.writer().OnCommit([this] { core_.Committed(); });
    for (const char* source : {"listing", "escrow", "credit", "identity"}) core_.Consume(source, operations_.sink());
    Register();
  }

  rpc::Service& service() override { return core_.service(); }
  Task<Result<void>> Start() override {
    core_.Start();
    co_return Result<void>();
  }
  void Stop() override { core_.Stop(); }

 private:
  template <class Request, class Response>
  void On(const char* method, Task<Result<Response>> (Operations::*handler)(CallContext, Request)) {
    core_.service().On<Request, Response>(std::string("millrace.operations.v1.Operations.") + method,
                                          [this, handler](CallContext context, Request request) {
                                            return (operations_.*handler)(std::move(context), std::move(request));
                                          });
  }
  void OnBooking(const char* method, BookingEvent event) {
    core_.service().On<v1::BookingVerbRequest, v1::Booking>(
        std::string("millrace.operations.v1.Operations.") + method,
        [this, event, method](CallContext context, v1::BookingVerbRequest request) {
          return operations_.ActOnBooking(std::move(context), std::move(request), event, method);
        });
  }
  void OnWork(const char* method, WorkEvent event) {
    core_.service().On<v1::WorkOrderVerbRequest, v1::WorkOrder>(
        std::string("millrace.operations.v1.Operations.") + method,
        [this, event, method](CallContext context, v1::WorkOrderVerbRequest request) {
          return operations_.ActOnWorkOrder(std::move(context), std::move(request), event, method);
        });
  }
  void Register() {
    On("CreateBooking", &Operations::CreateBooking);
    On("GetBooking", &Operations::GetBooking);
    On("ListBookings", &Operations::ListBookings);
    On("ApproveBooking", &Operations::ApproveBooking);
    On("GetWorkOrder", &Operations::GetWorkOrder);
    On("ListWorkOrders", &Operations::ListWorkOrders);
    On("SnapshotReservations", &Operations::SnapshotReservations);
    OnBooking("DeclineBooking", BookingEvent::kDecline);
    OnBooking("CancelBooking", BookingEvent::kCancel);
    OnBooking("CheckInBooking", BookingEvent::kCheckIn);
    OnBooking("StartBooking", BookingEvent::kStart);
    OnBooking("CheckOutBooking", BookingEvent::kCheckOut);
    OnBooking("CloseBooking", BookingEvent::kClose);
    OnWork("StartWorkOrder", WorkEvent::kStart);
    OnWork("DeliverWorkOrder", WorkEvent::kDeliver);
    OnWork("AcceptWorkOrder", WorkEvent::kAccept);
    OnWork("RejectWorkOrder", WorkEvent::kReject);
  }

  runtime::ServiceCore core_;
  Operations operations_;
};

}  // namespace

std::unique_ptr<runtime::Module> MakeModule(runtime::Environment& environment) {
  return std::make_unique<OperationsModule>(environment);
}

std::span<const EmbeddedFile> Migrations() { return OperationsMigrations(); }

}  // namespace millrace::operations
