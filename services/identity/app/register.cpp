// SPDX-License-Identifier: Apache-2.0
#include "services/identity/app/register.h"

namespace millrace::identity {

v1::RowFinding ToMessage(const domain::Finding& finding, Language language) {
  v1::RowFinding out;
  out.set_row(finding.row);
  out.set_column(finding.column);
  out.set_code(std::string(Name(finding.code)));
  out.set_detail(Detail(finding.code, finding.params, language));
  out.set_skipped(finding.skipped);
  return out;
}

Task<Result<domain::Table>> ParkRegister::ReadFile(google::api::HttpBody file,
                                                   std::span<const domain::Column> columns) {
  if (!file.content_type().starts_with("text/csv"))
    co_return Fail(ErrorCode::kUnsupportedMediaType, {{"accept", "text/csv"}});
  auto bytes = std::make_shared<std::string>(std::move(*file.mutable_data()));
  auto read = [bytes, columns] { return domain::ReadTable(*bytes, columns, kRegisterRows); };
  Result<domain::Table> table = co_await RunOn(worker_.pool(), std::move(read));
  co_return std::move(table);
}

Task<Result<std::string>> ParkRegister::Run(CallContext context, postgres::Command<IdentitySet> command) {
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  context.reply->replayed = outcome->replayed;
  co_return std::move(outcome->response);
}

}  // namespace millrace::identity
