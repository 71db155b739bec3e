// SPDX-License-Identifier: Apache-2.0
// Industry codes: loaded from the operator's file, listed, looked up.
#include <algorithm>
#include <set>

#include "common/base/text.h"
#include "common/rpc/page.h"
#include "services/identity/app/register.h"
#include "services/identity/domain/industry.h"
#include "services/identity/store/reads.h"

namespace millrace::identity {
namespace {

using Set = IdentitySet;
using domain::Finding;

const std::vector<domain::Column> kColumns = {{"code", true, {"代码", "行业代码", "分类代码"}},
                                              {"name_zh", true, {"名称", "中文名称", "类别名称", "行业名称"}},
                                              {"name_en", false, {"英文名称", "英文名"}}};
constexpr size_t kCode = 0, kZh = 1, kEn = 2;
constexpr size_t kNameCharacters = 200;

// A file's rows: what does not depend on what is loaded is checked.
struct CodeFile {
  struct Code {
    int row = 0;
    std::string code;
    IndustryRow names;
  };
  std::vector<Code> codes;
  int built_in = 0;
  std::vector<Finding> findings;
};

void CheckName(const domain::TableRow& row, size_t column, std::vector<Finding>& findings) {
  std::string name(kColumns[column].name);
  const std::string& text = row.cells[column];
  if (text.empty() && kColumns[column].required)
    findings.push_back({row.row, name, ErrorCode::kRequired, {{"field", name}}});
  if (CharacterCount(text) > kNameCharacters)
    findings.push_back(
        {row.row, name, ErrorCode::kTooLong, {{"field", name}, {"max", std::to_string(kNameCharacters)}}});
}

CodeFile CheckRows(domain::Table table) {
  CodeFile file;
  file.findings = std::move(table.findings);
  std::set<std::string> seen;
  for (domain::TableRow& row : table.rows) {
    const std::string& given = row.cells[kCode];
    std::string code = domain::NormalIndustryCode(given);
    if (given.empty()) {
      file.findings.push_back({row.row, "code", ErrorCode::kRequired, {{"field", "code"}}});
    } else if (code.empty()) {
      file.findings.push_back(
          {row.row, "code", ErrorCode::kUnknownIndustryCode, {{"field", "code"}, {"industry_code", given}}});
    } else if (!seen.insert(code).second) {
      file.findings.push_back({row.row, "code", ErrorCode::kAlreadyExists, {{"field", "code"}, {"value", given}}});
    }
    CheckName(row, kZh, file.findings);
    CheckName(row, kEn, file.findings);
    if (code.empty()) continue;
    if (code.size() <= 2) {
      ++file.built_in;
    } else {
      file.codes.push_back({row.row, std::move(code), {std::move(row.cells[kZh]), std::move(row.cells[kEn]), true}});
    }
  }
  return file;
}

// Classes whose group is neither in the file nor loaded.
void FindOrphans(const CodeFile& file, const IndustryPart& loaded, std::vector<Finding>& findings) {
  std::set<std::string_view> in_file;
  for (const auto& each : file.codes) in_file.insert(each.code);
  for (const auto& each : file.codes) {
    std::string parent = domain::ParentIndustry(each.code);
    if (parent.size() < 3 || in_file.contains(parent) || loaded.rows.contains(parent)) continue;
    findings.push_back({each.row,
                        "code",
                        ErrorCode::kParentMissing,
                        {{"field", "code"}, {"code", each.code}, {"parent", std::move(parent)}}});
  }
}

v1::ImportIndustryCodesResponse TakeOver(const CodeFile& file, IndustryPart& loaded) {
  v1::ImportIndustryCodesResponse response;
  response.set_built_in(file.built_in);
  for (const auto& each : file.codes) {
    auto [found, fresh] = loaded.rows.try_emplace(each.code, each.names);
    if (fresh) {
      response.set_inserted(response.inserted() + 1);
    } else if (found->second.SameNames(each.names)) {
      response.set_unchanged(response.unchanged() + 1);
    } else {
      found->second = each.names;
      response.set_changed(response.changed() + 1);
    }
  }
  return response;
}

v1::IndustryCode ToMessage(std::string_view code, std::string_view zh, std::string_view en) {
  v1::IndustryCode out;
  out.set_code(std::string(code));
  out.set_level(static_cast<v1::IndustryCode::Level>(domain::LevelOf(code)));
  out.set_parent(domain::ParentIndustry(code));
  out.mutable_display_name()->set_zh(std::string(zh));
  out.mutable_display_name()->set_en(std::string(en));
  out.set_built_in(code.size() <= 2);
  return out;
}

// A place in the tree as a page's cursor holds it, and back.
Uuid CursorOf(std::string_view code) {
  int64_t number = 0;
  std::string place = domain::IndustryPlace(code);
  place.resize(5);  // "C3421"; shorter ones come first
  for (char c : place) number = number << 8 | static_cast<uint8_t>(c);
  return rpc::PlaceOf(number);
}

std::string PlaceOf(const Uuid& cursor) {
  std::string place;
  int64_t number = rpc::NumberOf(cursor);
  for (int shift = 32; shift >= 0; shift -= 8) {
    if (char c = static_cast<char>(number >> shift & 0xFF)) place += c;
  }
  return place;
}

bool Follows(const v1::IndustryCode& one, const v1::IndustryCode& other) {
  return domain::IndustryPlace(one.code()) < domain::IndustryPlace(other.code());
}

}  // namespace

Result<void> CheckLoadedIndustry(const Set& set, std::string_view code, std::string_view pointer) {
  std::string kept = domain::NormalIndustryCode(code);
  const auto& rows = set.industry.rows;
  if (kept.size() < 3 || rows.contains(kept)) return {};
  auto near = rows.lower_bound(kept.substr(0, 2));
  if (near == rows.end() || !near->first.starts_with(kept.substr(0, 2))) return {};
  return Fail(Error::At(std::string(pointer), ErrorCode::kUnknownIndustryCode, {{"industry_code", std::string(code)}}));
}

Task<Result<v1::ImportIndustryCodesResponse>> ParkRegister::ImportIndustryCodes(
    CallContext context, v1::ImportIndustryCodesRequest request) {
  if (request.validate_only()) context.validate_only = true;
  Result<domain::Table> read = co_await ReadFile(std::move(*request.mutable_file()), kColumns);
  MILLRACE_CO_TRY(domain::Table table, std::move(read));
  auto file = std::make_shared<const CodeFile>(CheckRows(std::move(table)));
  postgres::Command<Set> command;
  command.header = postgres::CommandHeader::Of(context, "ImportIndustryCodes");
  command.need = [file](Set& set) {
    for (const auto& each : file->codes) WantIndustry(set.industry, each.code);
  };
  command.decide = [file, check = context.validate_only, language = context.language](Set& set) -> Result<std::string> {
    std::vector<Finding> findings = file->findings;
    FindOrphans(*file, set.industry, findings);
    domain::SortFindings(findings);
    if (!check) MILLRACE_CHECK(domain::RefuseFaults(findings));
    v1::ImportIndustryCodesResponse response;
    if (findings.empty()) response = TakeOver(*file, set.industry);
    for (const Finding& finding : findings) *response.add_findings() = identity::ToMessage(finding, language);
    return response.SerializeAsString();
  };
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::ImportIndustryCodesResponse response;
  response.ParseFromString(*outcome);
  co_return std::move(response);
}

Task<Result<v1::ListIndustryCodesResponse>> ParkRegister::ListIndustryCodes(CallContext context,
                                                                            v1::ListIndustryCodesRequest request) {
  MILLRACE_CO_CHECK(domain::CheckIndustryCode(request.parent(), "#/parent"));
  std::string parent = domain::NormalIndustryCode(request.parent());
  std::string filter = "industry_codes " + parent;
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  std::string after = page.after.IsNil() ? "" : PlaceOf(page.after);
  std::vector<v1::IndustryCode> codes;
  for (const auto& each : domain::BuiltInIndustries()) {
    bool wanted = parent.empty() || domain::ParentIndustry(each.code) == parent;
    if (wanted && domain::IndustryPlace(each.code) > after) codes.push_back(ToMessage(each.code, each.zh, each.en));
  }
  // The digits alone are in the tree's order too; behind a section comes its first division's first group.
  std::string after_digits = after.size() > 1 ? after.substr(1) : "";
  if (after.size() == 1) {
    auto next = std::ranges::find(codes, domain::IndustryLevel::kDivision,
                                  [](const v1::IndustryCode& code) { return domain::LevelOf(code.code()); });
    if (next != codes.end()) after_digits = next->code();
  }
  int rows = page.size + 1;
  if (parent.size() != 1) {
    Result<std::vector<LoadedIndustry>> read = co_await ReadIndustry(reader_, after_digits, rows, parent);
    MILLRACE_CO_TRY(std::vector<LoadedIndustry> loaded, std::move(read));
    for (const LoadedIndustry& each : loaded) codes.push_back(ToMessage(each.code, each.zh, each.en));
  }
  std::ranges::sort(codes, Follows);
  v1::ListIndustryCodesResponse response;
  for (v1::IndustryCode& code : codes) {
    if (response.data_size() == page.size) {
      response.set_next_page_token(rpc::NextPageToken(CursorOf(response.data(page.size - 1).code()), filter));
      break;
    }
    *response.add_data() = std::move(code);
  }
  co_return std::move(response);
}

}  // namespace millrace::identity
