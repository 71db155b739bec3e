// SPDX-License-Identifier: Apache-2.0
#include <yaml-cpp/yaml.h>

#include <map>
#include <optional>
#include <set>

#include "common/base/csv.h"
#include "common/base/text.h"
#include "services/millrace/import.h"

namespace millrace {
namespace {

struct MapFault {
  std::string sentence;
};

void Allow(const YAML::Node& node, const std::string& where, const std::set<std::string>& keys) {
  if (!node.IsMap()) throw MapFault{"the map's " + where + " must be a mapping"};
  for (const auto& entry : node) {
    if (!keys.contains(entry.first.as<std::string>()))
      throw MapFault{"the map's " + where + " has the unknown key " + entry.first.as<std::string>()};
  }
}

// A decimal as its digits and the number of them behind the point.
struct Decimal {
  __int128 digits = 0;
  int places = 0;
};

std::optional<Decimal> ParseDecimal(std::string_view text) {
  Decimal out;
  bool negative = text.starts_with('-'), point = false, any = false;
  if (negative) text.remove_prefix(1);
  for (char c : text) {
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9' && out.digits < static_cast<__int128>(1'000'000'000'000'000'000)) {
      out.digits = out.digits * 10 + (c - '0');
      out.places += point;
      any = true;
    } else {
      return std::nullopt;
    }
  }
  if (!any) return std::nullopt;
  if (negative) out.digits = -out.digits;
  return out;
}

// text × scale as a whole number; nothing if it is none.
std::optional<std::string> Scaled(std::string_view text, const Decimal& scale) {
  std::optional<Decimal> value = ParseDecimal(text);
  if (!value || value->places + scale.places > 18) return std::nullopt;
  __int128 product = value->digits * scale.digits;
  for (int i = value->places + scale.places; i > 0; --i) {
    if (product % 10 != 0) return std::nullopt;
    product /= 10;
  }
  if (product > INT64_MAX || product < INT64_MIN) return std::nullopt;
  return std::to_string(static_cast<int64_t>(product));
}

std::string Trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == text.npos ? std::string()
                            : std::string(text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1));
}

// Where a value comes from.
struct Value {
  std::string target;  // column of the platform
  int column = -1;     // of the file; -1: none
  bool row = false;
  std::string text, prefix;
  std::optional<Decimal> scale;
  std::map<std::string, std::string> values;

  // What it is in this row; nothing if the row does not fit.
  std::optional<std::string> Of(const std::vector<std::string>& fields, int number) const {
    std::string out = text;
    if (row) out = std::to_string(number);
    if (column >= 0)
      out = static_cast<size_t>(column) < fields.size() ? Trimmed(fields[static_cast<size_t>(column)]) : std::string();
    if (out.empty()) return out;
    if (!values.empty()) {
      auto found = values.find(out);
      if (found == values.end()) return std::nullopt;
      out = found->second;
    }
    if (scale) {
      std::optional<std::string> scaled = Scaled(out, *scale);
      if (!scaled) return std::nullopt;
      out = *scaled;
    }
    return prefix + out;
  }
};

class Mapper {
 public:
  Mapper(const YAML::Node& map, const std::vector<std::string>& header) : header_(header) {
    Allow(map, "top level",
          {"kind", "encoding", "external_id", "name_en", "name_zh", "processes", "materials", "units", "attributes",
           "skip_when"});
    if (!map["kind"]) throw MapFault{"the map lacks kind"};
    if (!map["external_id"]) throw MapFault{"the map lacks external_id"};
    if (!map["name_en"] && !map["name_zh"]) throw MapFault{"the map needs name_en or name_zh"};
    Value kind;
    kind.target = "kind";
    kind.text = map["kind"].as<std::string>();
    values_.push_back(kind);
    for (const char* key : {"external_id", "name_en", "name_zh", "processes", "materials", "units"}) {
      if (!map[key]) continue;
      if (map[key].IsMap() && map[key]["from"]) continue;  // the platform maps the name
      values_.push_back(ReadValue(map[key], key));
    }
    if (map["attributes"] && !map["attributes"].IsMap()) throw MapFault{"the map's attributes must be a mapping"};
    for (const auto& entry : map["attributes"]) {
      values_.push_back(ReadValue(entry.second, "attributes." + entry.first.as<std::string>()));
    }
    if (const YAML::Node skip = map["skip_when"]; skip && skip.IsMap()) {
      ReadSkip(skip);
    } else {
      for (const auto& entry : skip) ReadSkip(entry);
    }
  }

  std::vector<std::string> Columns() const {
    std::vector<std::string> columns;
    for (const Value& value : values_) columns.push_back(value.target);
    return columns;
  }
  bool Skips(const std::vector<std::string>& fields) const {
    for (const auto& [column, text] : skips_) {
      if (column < fields.size() && fields[column] == text) return true;
    }
    return false;
  }
  // The row in the platform's columns; `fault` says what does not fit.
  std::vector<std::string> Map(const std::vector<std::string>& fields, int number, std::string* fault) const {
    std::vector<std::string> out;
    for (const Value& value : values_) {
      std::optional<std::string> text = value.Of(fields, number);
      if (!text && fault->empty()) {
        size_t column = static_cast<size_t>(value.column);  // without one it is the row's number that does not fit
        *fault = value.column < 0 ? "its number"
                                  : "column " + Trimmed(header_[column]) + ": \"" + Trimmed(fields[column]) + "\"";
        *fault += " does not fit the map's " + value.target;
      }
      out.push_back(text.value_or(""));
    }
    return out;
  }

 private:
  int Column(const std::string& name) const {
    for (size_t i = 0; i < header_.size(); ++i) {
      if (Trimmed(header_[i]) == name) return static_cast<int>(i);
    }
    throw MapFault{"the file has no column " + name};
  }
  Value ReadValue(const YAML::Node& node, const std::string& target) const {
    Allow(node, target, {"column", "row", "text", "prefix", "scale", "values"});
    Value value;
    value.target = target;
    int sources = 0;
    if (node["column"]) {
      value.column = Column(node["column"].as<std::string>());
      ++sources;
    }
    if (node["row"]) {
      value.row = node["row"].as<bool>();
      ++sources;
    }
    if (node["text"]) {
      value.text = node["text"].as<std::string>();
      ++sources;
    }
    if (sources != 1) throw MapFault{"the map's " + target + " needs exactly one of column, row, text"};
    if (node["prefix"]) value.prefix = node["prefix"].as<std::string>();
    if (node["scale"]) {
      value.scale = ParseDecimal(node["scale"].as<std::string>());
      if (!value.scale) throw MapFault{"the map's " + target + ": scale must be a decimal number"};
    }
    for (const auto& entry : node["values"])
      value.values[entry.first.as<std::string>()] = entry.second.as<std::string>();
    return value;
  }
  void ReadSkip(const YAML::Node& node) {
    Allow(node, "skip_when", {"column", "equals"});
    if (!node["column"] || !node["equals"]) throw MapFault{"the map's skip_when needs column and equals"};
    skips_.emplace_back(static_cast<size_t>(Column(node["column"].as<std::string>())),
                        node["equals"].as<std::string>());
  }

  const std::vector<std::string>& header_;
  std::vector<Value> values_;
  std::vector<std::pair<size_t, std::string>> skips_;
};

}  // namespace

Result<MappedFile> MapColumns(const std::string& map_yaml, std::string_view file) {
  // DecodeFile tells UTF-8 and GB18030 apart by itself; the map's encoding is a word for readers.
  MILLRACE_TRY(std::string text, DecodeFile(file));
  try {
    CsvReader reader(text);
    std::vector<std::string> header, fields;
    if (!reader.Next(&header)) return Fail(Error::Internal("the file is empty"));
    Mapper mapper(YAML::Load(map_yaml), header);
    MappedFile out;
    out.csv = CsvRecord(mapper.Columns());
    for (int number = 1; reader.Next(&fields); ++number) {
      if (mapper.Skips(fields)) {
        ++out.skipped;
        continue;
      }
      std::string fault;
      std::vector<std::string> row = mapper.Map(fields, number, &fault);
      if (!fault.empty()) {
        out.failures.push_back("row " + std::to_string(reader.line()) + ", " + fault);
        continue;
      }
      out.csv += CsvRecord(row);
      ++out.rows;
    }
    return out;
  } catch (const MapFault& fault) {
    return Fail(Error::Internal(fault.sentence));
  } catch (const YAML::Exception& e) {
    return Fail(Error::Internal(std::string("the map is not valid YAML: ") + e.what()));
  }
}

}  // namespace millrace
