// SPDX-License-Identifier: Apache-2.0
#include "services/identity/store/industry.h"

#include "services/identity/domain/industry.h"

namespace millrace::identity {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;
using postgres::Transaction;

constexpr Statement kLoad = {"identity_load_industry",
                             "SELECT code, name_zh, name_en FROM industry_code WHERE left(code, 2) = ANY ($1::text[])"};
constexpr Statement kSave = {
    "identity_save_industry",
    "INSERT INTO industry_code (code, name_zh, name_en, update_time) "
    "SELECT code, zh, en, $4 FROM unnest($1::text[], $2::text[], $3::text[]) AS c (code, zh, en) ORDER BY code "
    "ON CONFLICT (code) DO UPDATE SET name_zh = excluded.name_zh, name_en = excluded.name_en, "
    "update_time = excluded.update_time"};
constexpr Statement kList = {"identity_list_industry", "SELECT * FROM list_industry_codes($1, $2, $3)"};

}  // namespace

void WantIndustry(IndustryPart& part, std::string_view code) {
  std::string kept = domain::NormalIndustryCode(code);
  if (kept.size() > 2) part.want_divisions.insert(kept.substr(0, 2));
}

void LoadIndustry(Transaction& tx, IndustryPart& part) {
  if (part.want_divisions.empty()) return;
  Params params = Params().Texts({part.want_divisions.begin(), part.want_divisions.end()});
  for (Row row : tx.Execute(kLoad, params)) part.rows[row.Text(0)] = {row.Text(1), row.Text(2)};
}

void SaveIndustry(Transaction& tx, const IndustryPart& part, Time now) {
  std::vector<std::string> codes, zh, en;
  for (const auto& [code, row] : part.rows) {
    if (!row.changed) continue;
    codes.push_back(code);
    zh.push_back(row.zh);
    en.push_back(row.en);
  }
  if (!codes.empty()) tx.Execute(kSave, Params().Texts(codes).Texts(zh).Texts(en).At(now));
}

Task<Result<std::vector<LoadedIndustry>>> ReadIndustry(postgres::Database& reader, std::string after, int limit,
                                                       std::string parent) {
  Params params = Params().Text(after).Int(limit).Text(parent);
  Result<Rows> rows = co_await reader.Query(kList, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::vector<LoadedIndustry> loaded;
  for (Row row : *rows) loaded.push_back({row.Text(0), row.Text(1), row.Text(2)});
  co_return std::move(loaded);
}

}  // namespace millrace::identity
