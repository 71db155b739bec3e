// SPDX-License-Identifier: Apache-2.0
#include "common/base/csv.h"
#include "millrace/identity/v1/identity.pb.h"
#include "millrace/type/error.pb.h"
#include "services/listing/app/changes.h"
#include "services/listing/app/convert.h"
#include "services/listing/app/import_rows.h"
#include "services/listing/app/service.h"

namespace millrace::listing {
namespace {

constexpr int kFailuresShown = 20;
constexpr int kRefusedPage = 1000;

// Asks identity for the organization that a cell names: by its id or its external_id. Nil where there is none.
Task<Result<Owner>> FindOwner(rpc::Channel& identity, CallContext context, std::string named) {
  Owner owner;
  identity::v1::Organization organization;
  if (IsId("org", named)) {
    CallContext asking = context;  // the operator may read any organization
    asking.idempotency_key.clear();
    asking.validate_only = false;
    asking.reply = std::make_shared<ReplyInfo>();
    identity::v1::GetOrganizationRequest wanted;
    wanted.set_id(named);
    auto found = co_await rpc::Call<identity::v1::Organization>(
        identity, "millrace.identity.v1.Identity.GetOrganization", std::move(asking), std::move(wanted));
    if (!found && found.error().code == ErrorCode::kNotFound) co_return owner;
    if (!found) co_return std::unexpected<Error>(std::move(found).error());
    organization = std::move(*found);
  } else {
    identity::v1::ListOrganizationsRequest wanted;
    wanted.set_external_id(named);
    CallContext asking = CallContext::ForService("listing", context.traceparent);
    asking.deadline = context.deadline;
    auto found = co_await rpc::Call<identity::v1::ListOrganizationsResponse>(
        identity, "millrace.identity.v1.Identity.ListOrganizations", std::move(asking), std::move(wanted));
    if (!found) co_return std::unexpected<Error>(std::move(found).error());
    if (found->data_size() != 1) co_return owner;
    organization = found->data(0);
  }
  owner.id = IdOrNil(organization.id());
  owner.verified = organization.state() == identity::v1::Organization::VERIFIED;
  co_return owner;
}

// The owners of a file's rows: those that the operator's file names, or the one caller.
Task<Result<std::map<std::string, Owner>>> FindOwners(rpc::Channel& identity, CallContext context,
                                                      std::shared_ptr<ImportFile> file) {
  std::map<std::string, Owner> owners;
  if (!context.IsOperator()) {
    owners[""] = {context.organization, context.organization_verified};
    co_return std::move(owners);
  }
  for (const std::string& named : NamedOrganizations(*file)) {
    Result<Owner> owner = co_await FindOwner(identity, context, named);
    if (!owner) co_return std::unexpected<Error>(std::move(owner).error());
    owners[named] = *owner;
  }
  co_return std::move(owners);
}

// The answer with its first refused rows.
v1::Import Answer(const ImportRow& row, const std::vector<ImportLine>& lines, Language language) {
  v1::Import message = ToMessage(row);
  for (const ImportLine& line : lines) {
    if (line.faults.empty()) continue;
    for (v1::ImportFailure& failure : ToFailures(line, language)) {
      if (message.failures_size() == kFailuresShown) return message;
      *message.add_failures() = std::move(failure);
    }
  }
  return message;
}

Error RowError(const ImportLine& line, Language language) {
  std::vector<v1::ImportFailure> failures = ToFailures(line, language);
  if (failures.empty()) return Error(ErrorCode::kImportRow);
  // The reason is a sentence of its own; the full stop comes from the one it stands in.
  std::string reason = failures.front().detail();
  for (std::string_view stop : {"。", "."}) {
    if (reason.ends_with(stop)) reason.resize(reason.size() - stop.size());
  }
  return Error(
      ErrorCode::kImportRow,
      {{"row", std::to_string(line.line)}, {"column", failures.front().column()}, {"reason", std::move(reason)}});
}

void NeedRowsOf(ListingSet& set, const std::vector<ImportLine>& lines) {
  for (const ImportLine& line : lines) {
    if (!line.faults.empty()) continue;
    const v1::Resource& resource = line.bookable.resource();
    Key key{IdOrNil(resource.organization_id()), resource.external_id()};
    set.need_organizations.insert(key.first);
    set.need_resource_keys.insert(key);
    set.need_listing_keys.insert(std::move(key));
  }
}

// What taking the valid lines over would do now, tried on a copy of the rows; lines that cannot be taken over become
// refused ones.
Applied Preview(const ListingSet& set, std::vector<ImportLine>& lines, bool publish) {
  ListingSet copy = set;
  std::vector<ImportLine> valid;
  std::map<int, ImportLine*> by_number;
  for (ImportLine& line : lines) {
    by_number[line.line] = &line;
    if (line.faults.empty()) valid.push_back(line);
  }
  Applied applied = ApplyLines(copy, valid, publish);
  for (const LineFault& fault : applied.faults) RefuseLine(*by_number[fault.line], fault.violation);
  return applied;
}

// Keeps a checked file for its confirmation; the answer's bytes.
std::string KeepImport(ListingSet& set, const Uuid& organization, const std::string& header, bool publish,
                       std::vector<ImportLine> lines, Language language) {
  Applied applied = Preview(set, lines, publish);
  ImportRow row;
  row.id = Uuid::New();
  row.organization = organization;
  row.state = "VALIDATED";
  row.publish = publish;
  row.header = header;
  row.version = 1;
  row.create_time = set.now;
  row.expire_time = set.now + domain::kImportWindow;
  row.summary.set_to_create(applied.created);
  row.summary.set_to_update(applied.updated);
  row.summary.set_unchanged(applied.unchanged);
  for (const ImportLine& line : lines) {
    if (!line.faults.empty())
      row.summary.set_invalid(row.summary.invalid() + 1);
    else if (line.bookable.listing().capability().processes_size() > 0)
      row.summary.set_mapped(row.summary.mapped() + 1);
    else
      row.summary.set_unmapped(row.summary.unmapped() + 1);
  }
  row.changed = true;
  set.tasks.push_back({row.id, "listing.expire_import", row.id, row.expire_time, ""});
  std::string answer = Answer(row, lines, language).SerializeAsString();
  Uuid id = row.id;
  set.imports[id] = std::move(row);
  for (ImportLine& line : lines) set.new_lines.emplace_back(id, std::move(line));
  return answer;
}

}  // namespace

Task<Result<v1::Import>> ListingService::CreateImport(CallContext context, v1::CreateImportRequest request) {
  if (!request.file().content_type().starts_with("text/csv")) {
    ErrorParams params;
    params["accept"] = "text/csv";
    co_return Fail(ErrorCode::kUnsupportedMediaType, std::move(params));
  }
  if (request.file().data().size() > limits::kImportBodyBytes) {
    ErrorParams params;
    params["max"] = std::to_string(limits::kImportBodyBytes);
    co_return Fail(ErrorCode::kPayloadTooLarge, std::move(params));
  }
  bool for_operator = context.IsOperator();
  if (request.publish() && !for_operator && !context.organization_verified)
    co_return Fail(ErrorCode::kOrganizationNotVerified);
  ThreadPool& pool = core_.environment().compute ? *core_.environment().compute : core_.worker().pool();
  Language language = context.language;
  auto bytes = std::make_shared<std::string>(std::move(*request.mutable_file()->mutable_data()));
  auto open = [bytes, for_operator, language] { return OpenImport(*bytes, for_operator, language); };
  Result<ImportFile> opened = co_await RunOn(pool, std::move(open));
  if (!opened) co_return std::unexpected<Error>(std::move(opened).error());
  auto file = std::make_shared<ImportFile>(std::move(*opened));

  Result<std::map<std::string, Owner>> found = co_await FindOwners(core_.channel("identity"), context, file);
  if (!found) co_return std::unexpected<Error>(std::move(found).error());
  std::map<std::string, Owner> owners = std::move(*found);
  bool publish = request.publish();
  auto check = [file, owners, publish] { return CheckImport(*file, owners, publish); };
  std::vector<ImportLine> result = co_await RunOn(pool, std::move(check));
  auto checked = std::make_shared<std::vector<ImportLine>>(std::move(result));

  Command command;
  command.header = postgres::CommandHeader::Of(context, "CreateImport");
  Uuid organization = context.organization;
  command.need = [checked](ListingSet& set) {
    set.whole_file = true;
    NeedRowsOf(set, *checked);
  };
  command.decide = [checked, file, organization, publish, language](ListingSet& set) -> Result<std::string> {
    // A batch may be decided twice, so what was checked stays as it is.
    return KeepImport(set, organization, CsvRecord(file->header.columns), publish, *checked, language);
  };
  Result<v1::Import> answer = co_await Submit<v1::Import>(std::move(context), std::move(command), true);
  co_return std::move(answer);
}

Task<Result<v1::Import>> ListingService::GetImport(CallContext context, v1::GetImportRequest request) {
  Result<ImportRow> row = co_await reads_.Import(context, IdOrNil(request.id()));
  if (!row) co_return std::unexpected<Error>(std::move(row).error());
  Result<std::vector<ImportLine>> refused = co_await reads_.Refused(context, row->id, 0, kFailuresShown);
  if (!refused) co_return std::unexpected<Error>(std::move(refused).error());
  co_return Answer(*row, *refused, context.language);
}

Task<Result<v1::Import>> ListingService::ConfirmImport(CallContext context, v1::ConfirmImportRequest request) {
  Command command;
  command.header = postgres::CommandHeader::Of(context, "ConfirmImport");
  Uuid organization = context.organization, id = IdOrNil(request.id());
  bool skip = request.skip_invalid();
  Language language = context.language;
  command.need = [id](ListingSet& set) {
    set.whole_file = true;
    set.need_imports.insert(id);
    set.need_import_lines.insert(id);
  };
  command.decide = [organization, id, skip, language](ListingSet& set) -> Result<std::string> {
    auto found = set.imports.find(id);
    if (found == set.imports.end() || found->second.organization != organization) return Fail(ErrorCode::kNotFound);
    ImportRow& row = found->second;
    if (row.state != "VALIDATED") {
      return Fail(ErrorCode::kStateConflict, {{"state", row.state}, {"action", "confirm"}, {"allowed", "-"}});
    }
    const std::optional<ImportLine>& refused = set.first_refused[id];
    if (refused && !skip) return Fail(RowError(*refused, language));
    std::vector<ImportLine>& lines = set.import_lines[id];
    // Rows may have changed since the file was checked.
    std::vector<LineFault> faults = FindFaults(set, lines);
    if (!faults.empty() && !skip) {
      ImportLine line;
      line.line = faults.front().line;
      RefuseLine(line, faults.front().violation);
      return Fail(RowError(line, language));
    }
    Applied applied = ApplyLines(set, lines, row.publish);
    row.state = "CONFIRMED";
    ++row.version;
    row.summary.set_to_create(applied.created);
    row.summary.set_to_update(applied.updated);
    row.summary.set_unchanged(applied.unchanged);
    row.summary.set_invalid(row.summary.invalid() + static_cast<int>(applied.faults.size()));
    row.changed = row.drop_valid_rows = true;
    set.cancelled_tasks.push_back(id);
    std::vector<ImportLine> shown;
    if (refused) shown.push_back(*refused);
    return Answer(row, shown, language).SerializeAsString();
  };
  Result<v1::Import> answer = co_await Submit<v1::Import>(std::move(context), std::move(command), true);
  co_return std::move(answer);
}

Task<Result<google::api::HttpBody>> ListingService::GetImportFailedRows(CallContext context,
                                                                        v1::GetImportRequest request) {
  Result<ImportRow> row = co_await reads_.Import(context, IdOrNil(request.id()));
  if (!row) co_return std::unexpected<Error>(std::move(row).error());
  // The first bytes say UTF-8 to a spreadsheet.
  std::string csv = "\xEF\xBB\xBF" + row->header.substr(0, row->header.find_last_not_of("\r\n") + 1) +
                    ",_row,_column,_code,_message\r\n";
  for (int after = 0;;) {
    Result<std::vector<ImportLine>> refused = co_await reads_.Refused(context, row->id, after, kRefusedPage);
    if (!refused) co_return std::unexpected<Error>(std::move(refused).error());
    for (const ImportLine& line : *refused) {
      std::vector<std::string> why(4);
      why[0] = std::to_string(line.line);
      for (const v1::ImportFailure& failure : ToFailures(line, context.language)) {
        auto join = [](std::string& to, const std::string& part) { to += (to.empty() ? "" : "; ") + part; };
        join(why[1], failure.column());
        join(why[2], failure.code());
        join(why[3], failure.detail());
      }
      csv += line.cells.substr(0, line.cells.find_last_not_of("\r\n") + 1) + "," + CsvRecord(why, true);
      after = line.line;
    }
    if (refused->size() < kRefusedPage) break;
  }
  HttpBody body;
  body.set_content_type("text/csv; charset=utf-8");
  body.set_data(std::move(csv));
  co_return std::move(body);
}

Task<Result<google::api::HttpBody>> ListingService::GetImportTemplate(CallContext context,
                                                                      v1::GetImportTemplateRequest request) {
  HttpBody body;
  body.set_content_type("text/csv; charset=utf-8");
  int kind = request.kind() == v1::Resource::KIND_UNSPECIFIED ? v1::Resource::EQUIPMENT : request.kind();
  body.set_data(ImportTemplate(kind, context.IsOperator()));
  co_return std::move(body);
}

Task<Result<void>> ListingService::ExpireImport(tasks::DueTask task) {
  Command command;
  command.header.method = "listing.expire_import";
  postgres::EndedTask ended = task.Ended();
  Uuid id = task.subject;
  command.need = [id](ListingSet& set) { set.need_imports.insert(id); };
  command.decide = [id, ended](ListingSet& set) -> Result<std::string> {
    auto found = set.imports.find(id);
    if (found != set.imports.end() && found->second.state == "VALIDATED") {
      found->second.state = "EXPIRED";
      ++found->second.version;
      found->second.changed = found->second.drop_valid_rows = true;
    }
    set.ended_tasks.push_back(ended);
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await file_writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

}  // namespace millrace::listing
