// SPDX-License-Identifier: Apache-2.0
#include "services/listing/module.h"

#include "services/listing/app/service.h"

namespace millrace {

std::span<const EmbeddedFile> ListingMigrations();

namespace listing {
namespace {

class ListingModule : public runtime::Module {
 public:
  explicit ListingModule(runtime::Environment& environment) : core_("listing", environment), service_(core_) {
    service_.Register();
  }
  rpc::Service& service() override { return core_.service(); }
  Task<Result<void>> Start() override {
    core_.Start();
    co_return Result<void>();
  }
  void Stop() override { core_.Stop(); }

 private:
  runtime::ServiceCore core_;
  ListingService service_;
};

}  // namespace

std::unique_ptr<runtime::Module> MakeModule(runtime::Environment& environment) {
  return std::make_unique<ListingModule>(environment);
}

std::span<const EmbeddedFile> Migrations() { return ListingMigrations(); }

}  // namespace listing
}  // namespace millrace
