// SPDX-License-Identifier: Apache-2.0
#include "services/listing/domain/import_columns.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/base/text.h"

namespace millrace::listing::domain {
namespace {

struct Column {
  std::string_view name;
  std::vector<std::string_view> aliases;
};

const std::vector<Column>& Columns() {
  static const std::vector<Column> columns = {
      {"external_id", {"编号", "外部编号", "资源编号", "设备编号", "资产编号", "id", "asset id", "asset number"}},
      {"organization", {"企业", "企业编号", "所属企业", "单位", "owner"}},
      {"kind", {"类型", "资源类型", "类别", "type"}},
      {"maker", {"厂商", "厂家", "制造商", "生产厂家", "品牌", "manufacturer", "make", "brand"}},
      {"model", {"型号", "规格型号", "机型"}},
      {"name_zh", {"名称", "中文名称", "资源名称", "设备名称", "chinese name"}},
      {"name_en", {"英文名称", "英文名", "name", "english name"}},
      {"processes", {"工艺", "工艺编码", "工序", "process"}},
      {"materials", {"材料", "材料编码", "可加工材料", "material"}},
      {"units", {"数量", "台数", "台套数", "quantity", "count"}},
      {"source", {"来源", "数据来源"}},
      {"synthetic", {"虚构字段"}},
      {"longitude", {"经度", "lng", "lon"}},
      {"latitude", {"纬度", "lat"}},
      {"hourly_price_fen", {"小时价（分）", "每小时价格（分）", "hourly price (fen)"}},
      {"deposit_fen", {"押金（分）", "deposit (fen)"}},
      {"setup_fee_fen", {"开机费（分）", "准备费（分）", "setup fee (fen)"}},
      {"vat_rate_bp", {"增值税率（基点）", "税率（基点）", "vat rate (bp)"}},
      {"calendar", {"日历", "开放时间", "班次"}},
  };
  return columns;
}

Result<Header> BadColumn(std::string_view column, Language language, std::string_view zh, std::string_view en) {
  return Fail(ErrorCode::kImportHeader,
              {{"column", std::string(column)}, {"reason", std::string(language == Language::kZh ? zh : en)}});
}

}  // namespace

const std::vector<std::string_view>& FixedColumns() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> all;
    for (const Column& column : Columns()) all.push_back(column.name);
    return all;
  }();
  return names;
}

int Header::Of(std::string_view column) const {
  auto found = std::ranges::find(columns, column);
  return found == columns.end() ? -1 : static_cast<int>(found - columns.begin());
}

Result<Header> ReadHeader(const std::vector<std::string>& cells, const std::vector<std::string>& attribute_fields,
                          bool for_operator, Language language) {
  std::map<std::string, std::string> known;  // folded name -> column
  for (const Column& column : Columns()) {
    known[FoldText(column.name)] = column.name;
    for (std::string_view alias : column.aliases) known[FoldText(alias)] = column.name;
  }
  for (const std::string& field : attribute_fields) known[FoldText("attributes." + field)] = "attributes." + field;
  Header header;
  std::set<std::string> seen;
  for (const std::string& cell : cells) {
    auto found = known.find(FoldText(cell));
    if (found == known.end()) {
      return BadColumn(cell.empty() ? "(empty)" : cell, language, "未知的列，可用的列见 GET /v1/import_template",
                       "not known; GET /v1/import_template has the columns");
    }
    if (!seen.insert(found->second).second) return BadColumn(cell, language, "出现了两次", "stands twice");
    header.columns.push_back(found->second);
  }
  auto missing = [&](std::string_view column) { return BadColumn(column, language, "缺少此列", "is missing"); };
  if (!seen.contains("external_id")) return missing("external_id");
  if (!seen.contains("name_zh") && !seen.contains("name_en")) return missing("name_zh");
  if (for_operator && !seen.contains("organization")) return missing("organization");
  if (!for_operator && seen.contains("organization")) {
    return BadColumn("organization", language, "只有运营方可以指定企业", "only the operator may name organizations");
  }
  return header;
}

std::optional<int> KindByName(std::string_view text) {
  static const std::map<std::string, int> kinds = [] {
    constexpr std::pair<std::string_view, std::string_view> kNames[] = {
        {"EQUIPMENT", "设备"},
        {"TOOLING", "工装"},
        {"PRODUCTION_LINE", "生产线"},
        {"WAREHOUSING_LOGISTICS", "仓储物流"},
        {"PRODUCT_TESTING", "产品检测"},
        {"EQUIPMENT_MAINTENANCE", "设备维护"},
        {"GOODS_INSPECTION", "验货验厂"},
        {"SUPPLY_CHAIN_MANAGEMENT", "供应链管理"},
        {"DATA_ANALYTICS", "数据分析"},
        {"RESEARCH_DESIGN", "研发设计"},
        {"TEST_SITE", "试验场地"},
    };
    std::map<std::string, int> map;
    int number = 0;
    for (const auto& [en, zh] : kNames) {
      ++number;
      map[FoldText(en)] = number;
      map[FoldText(zh)] = number;
    }
    return map;
  }();
  auto found = kinds.find(FoldText(text));
  return found == kinds.end() ? std::nullopt : std::optional<int>(found->second);
}

std::optional<std::vector<calendar::WeeklyRule>> CalendarPreset(std::string_view name) {
  struct Preset {
    std::string_view name;
    int last_weekday, start_minute, end_minute;
  };
  constexpr Preset kPresets[] = {{"two_shift", 6, 8 * 60, 24 * 60},
                                 {"day_shift", 6, 8 * 60, 18 * 60},
                                 {"round_the_clock", 7, 0, 24 * 60},
                                 {"weekend_off_day", 5, 8 * 60 + 30, 17 * 60 + 30}};
  for (const Preset& preset : kPresets) {
    if (preset.name != name) continue;
    std::vector<calendar::WeeklyRule> rules;
    for (int day = 1; day <= preset.last_weekday; ++day) rules.push_back({day, preset.start_minute, preset.end_minute});
    return rules;
  }
  return std::nullopt;
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string> SplitList(std::string_view cell) {
  std::vector<std::string> parts;
  while (!cell.empty()) {
    size_t end = std::min(cell.find(';'), cell.size());
    if (std::string_view part = Trim(cell.substr(0, end)); !part.empty()) parts.emplace_back(part);
    cell.remove_prefix(std::min(end + 1, cell.size()));
  }
  return parts;
}

}  // namespace millrace::listing::domain
