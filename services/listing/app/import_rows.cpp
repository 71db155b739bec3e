// SPDX-License-Identifier: Apache-2.0
#include "services/listing/app/import_rows.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "common/base/csv.h"
#include "common/base/text.h"
#include "common/rpc/validator.h"
#include "common/taxonomy/taxonomy.h"
#include "millrace/type/error.pb.h"
#include "services/listing/app/checks.h"

namespace millrace::listing {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

namespace {

const google::protobuf::Descriptor* AttributesOf(int kind) {
  const auto* member = v1::Attributes::descriptor()->FindFieldByNumber(kind);
  return member ? member->message_type() : nullptr;
}

// One row while it is checked.
class Row {
 public:
  Row(const domain::Header& header, std::vector<std::string> cells, ImportLine& line)
      : header_(header), cells_(std::move(cells)), line_(line) {}

  std::string_view Cell(std::string_view column) const {
    int at = header_.Of(column);
    return at < 0 ? std::string_view() : domain::Trim(cells_[static_cast<size_t>(at)]);
  }
  void Fault(std::string_view column, ErrorCode code, ErrorParams params = {}) {
    params.emplace("field", std::string(column));
    RefuseLine(line_, {std::string(column), code, std::move(params)});
  }
  // The whole number in a cell; nullopt if it is empty or wrong, the latter with a fault.
  std::optional<int64_t> Integer(std::string_view column, int64_t min, int64_t max) {
    std::string_view cell = Cell(column);
    if (cell.empty()) return std::nullopt;
    int64_t value = 0;
    auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (error != std::errc() || end != cell.data() + cell.size()) {
      Fault(column, ErrorCode::kInvalidFormat, {{"expected", "a whole number such as 123"}});
      return std::nullopt;
    }
    if (value < min || value > max) {
      Fault(column, ErrorCode::kOutOfRange, {{"min", std::to_string(min)}, {"max", std::to_string(max)}});
      return std::nullopt;
    }
    return value;
  }
  std::optional<double> Degrees(std::string_view column) {
    std::string_view cell = Cell(column);
    if (cell.empty()) return std::nullopt;
    double value = 0;
    auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (error == std::errc() && end == cell.data() + cell.size()) return value;
    Fault(column, ErrorCode::kInvalidFormat, {{"expected", "121.4737"}});
    return std::nullopt;
  }

  void ReadResource(v1::Resource* resource);
  void ReadAttributes(v1::Resource* resource);
  void ReadCapability(const v1::Resource& resource, v1::Listing* listing);
  void ReadPrice(v1::Listing* listing, bool publish);
  void ReadOwner(const std::map<std::string, Owner>& owners, bool publish, v1::Bookable* bookable);
  const domain::Header& header() const { return header_; }

 private:
  void SetAttribute(Message* attributes, const FieldDescriptor* field, const std::string& column);
  const domain::Header& header_;
  std::vector<std::string> cells_;
  ImportLine& line_;
};

void Row::ReadResource(v1::Resource* resource) {
  resource->set_external_id(std::string(Cell("external_id")));
  if (resource->external_id().empty()) Fault("external_id", ErrorCode::kRequired);
  std::string_view kind = Cell("kind");
  std::optional<int> number = kind.empty() ? v1::Resource::EQUIPMENT : domain::KindByName(kind);
  if (!number) Fault("kind", ErrorCode::kInvalidFormat, {{"expected", "EQUIPMENT, TOOLING, PRODUCTION_LINE, …"}});
  resource->set_kind(static_cast<v1::Resource::Kind>(number.value_or(v1::Resource::EQUIPMENT)));
  resource->set_maker(std::string(Cell("maker")));
  resource->set_model(std::string(Cell("model")));
  resource->mutable_display_name()->set_zh(std::string(Cell("name_zh")));
  resource->mutable_display_name()->set_en(std::string(Cell("name_en")));
  resource->set_units(static_cast<int32_t>(Integer("units", 1, 1'000'000).value_or(1)));
  resource->set_source(std::string(Cell("source")));
  for (std::string& name : domain::SplitList(Cell("synthetic"))) resource->add_synthetic(std::move(name));
  std::optional<double> longitude = Degrees("longitude"), latitude = Degrees("latitude");
  if (longitude && latitude) {
    resource->mutable_place()->set_longitude(*longitude);
    resource->mutable_place()->set_latitude(*latitude);
    resource->mutable_place()->set_coordinate_system(type::Place::WGS84);
  } else if (longitude.has_value() != latitude.has_value()) {
    Fault(longitude ? "latitude" : "longitude", ErrorCode::kRequired);
  }
  if (number) ReadAttributes(resource);
}

void Row::SetAttribute(Message* attributes, const FieldDescriptor* field, const std::string& column) {
  const auto* reflection = attributes->GetReflection();
  std::string_view cell = Cell(column);
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
      if (auto value = Integer(column, -kMost, kMost))
        reflection->SetInt32(attributes, field, static_cast<int32_t>(*value));
      return;
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      constexpr int64_t kMost = 1'000'000'000'000'000;
      if (auto value = Integer(column, -kMost, kMost)) reflection->SetInt64(attributes, field, *value);
      return;
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      std::string folded = FoldText(cell);
      bool yes = folded == "true" || folded == "yes" || folded == "1" || folded == "是";
      bool no = folded == "false" || folded == "no" || folded == "0" || folded == "否";
      if (!yes && !no) return Fault(column, ErrorCode::kInvalidFormat, {{"expected", "true, false"}});
      return reflection->SetBool(attributes, field, yes);
    }
    default:
      if (!field->is_repeated()) return reflection->SetString(attributes, field, std::string(cell));
      for (std::string& part : domain::SplitList(cell)) reflection->AddString(attributes, field, std::move(part));
  }
}

void Row::ReadAttributes(v1::Resource* resource) {
  constexpr std::string_view kPrefix = "attributes.";
  const auto* member = v1::Attributes::descriptor()->FindFieldByNumber(resource->kind());
  for (const std::string& column : header_.columns) {
    if (!column.starts_with(kPrefix) || Cell(column).empty()) continue;
    const FieldDescriptor* field = member->message_type()->FindFieldByName(column.substr(kPrefix.size()));
    if (!field) {
      Fault(column, ErrorCode::kUnknownField);
      continue;
    }
    Message* attributes = resource->mutable_attributes();
    SetAttribute(attributes->GetReflection()->MutableMessage(attributes, member), field, column);
  }
}

void Row::ReadCapability(const v1::Resource& resource, v1::Listing* listing) {
  for (std::string& code : domain::SplitList(Cell("processes")))
    listing->mutable_capability()->add_processes(std::move(code));
  for (std::string& code : domain::SplitList(Cell("materials")))
    listing->mutable_capability()->add_materials(std::move(code));
  if (listing->capability().processes_size() > 0) return;
  // Nothing was stated: the name may say it.
  const taxonomy::Found* best = nullptr;
  std::vector<taxonomy::Found> zh = taxonomy::Taxonomy::BuiltIn().FindProcesses(resource.display_name().zh());
  std::vector<taxonomy::Found> en = taxonomy::Taxonomy::BuiltIn().FindProcesses(resource.display_name().en());
  for (const auto* found : {&zh, &en}) {
    if (!found->empty() && (!best || found->front().confidence > best->confidence)) best = &found->front();
  }
  if (best && best->confidence >= domain::kMappingConfidence)
    listing->mutable_capability()->add_processes(best->node->code);
}

void Row::ReadPrice(v1::Listing* listing, bool publish) {
  constexpr int64_t kMost = 999'999'999'999;
  std::string_view preset = Cell("calendar");
  if (!preset.empty()) {
    if (auto rules = domain::CalendarPreset(preset)) {
      listing->mutable_calendar()->set_time_zone("Asia/Shanghai");
      for (const calendar::WeeklyRule& rule : *rules) {
        auto* weekly = listing->mutable_calendar()->add_weekly();
        weekly->set_weekday(rule.weekday);
        weekly->set_start_minute(rule.start_minute);
        weekly->set_end_minute(rule.end_minute);
      }
    } else {
      Fault("calendar", ErrorCode::kInvalidFormat,
            {{"expected", "two_shift, day_shift, round_the_clock, weekend_off_day"}});
    }
  }
  std::optional<int64_t> deposit = Integer("deposit_fen", 0, kMost), setup = Integer("setup_fee_fen", 0, kMost);
  std::optional<int64_t> vat = Integer("vat_rate_bp", 0, 10000);
  std::optional<int64_t> hourly = Integer("hourly_price_fen", 0, kMost);
  if (Cell("hourly_price_fen").empty()) {
    if (deposit || setup) Fault("hourly_price_fen", ErrorCode::kRequired);
    return;
  }
  if (!hourly) return;
  // A price says its VAT; prices in a file include it, as price lists do (含税价).
  if (Cell("vat_rate_bp").empty()) Fault("vat_rate_bp", ErrorCode::kRequired);
  if (publish && preset.empty()) Fault("calendar", ErrorCode::kRequired);
  v1::PricePlan* plan = listing->mutable_price_plan();
  plan->set_currency("CNY");
  plan->set_unit(v1::PricePlan::HOUR);
  plan->add_steps()->set_unit_price(*hourly);
  plan->set_deposit(deposit.value_or(0));
  plan->set_setup_fee(setup.value_or(0));
  plan->set_vat_basis_points(vat.value_or(0));
  plan->set_vat_included(true);
}

void Row::ReadOwner(const std::map<std::string, Owner>& owners, bool publish, v1::Bookable* bookable) {
  std::string named(Cell("organization"));
  auto found = owners.find(named);
  if (header_.Of("organization") >= 0 && named.empty()) return Fault("organization", ErrorCode::kRequired);
  if (found == owners.end() || found->second.id.IsNil()) return Fault("organization", ErrorCode::kNotFound);
  if (publish && !found->second.verified && bookable->listing().has_price_plan()) {
    return Fault("organization", ErrorCode::kOrganizationNotVerified);
  }
  bookable->mutable_resource()->set_organization_id(FormatId("org", found->second.id));
  bookable->mutable_listing()->set_organization_id(FormatId("org", found->second.id));
}

// The column that a fault of a message's field comes from.
std::string ColumnOf(std::string_view pointer) {
  constexpr std::pair<std::string_view, std::string_view> kColumns[] = {{"#/display_name/zh", "name_zh"},
                                                                        {"#/display_name/en", "name_en"},
                                                                        {"#/display_name", "name_zh"},
                                                                        {"#/place/longitude", "longitude"},
                                                                        {"#/place/latitude", "latitude"},
                                                                        {"#/capability/processes", "processes"},
                                                                        {"#/capability/materials", "materials"},
                                                                        {"#/calendar", "calendar"},
                                                                        {"#/price_plan/deposit", "deposit_fen"},
                                                                        {"#/price_plan/setup_fee", "setup_fee_fen"},
                                                                        {"#/price_plan/vat", "vat_rate_bp"},
                                                                        {"#/price_plan", "hourly_price_fen"},
                                                                        {"#/synthetic", "synthetic"}};
  for (const auto& [prefix, column] : kColumns) {
    if (pointer.starts_with(prefix)) return std::string(column);
  }
  constexpr std::string_view kAttributes = "#/attributes/";
  if (pointer.starts_with(kAttributes)) {  // the kind's member, then the field, then perhaps an index
    std::string_view rest = pointer.substr(kAttributes.size());
    rest = rest.substr(std::min(rest.find('/') + 1, rest.size()));
    return "attributes." + std::string(rest.substr(0, rest.find('/')));
  }
  return std::string(pointer.substr(std::min<size_t>(2, pointer.size())));
}

void CheckMessages(ImportLine& line) {
  std::vector<Violation> faults = rpc::Validate(line.bookable.resource());
  // A capability's lists have bounds of their own; the rest of a listing is made here, within its rules.
  const v1::Capability& capability = line.bookable.listing().capability();
  for (auto& found : {rpc::Validate(capability), CheckResource(line.bookable.resource(), "#"),
                      CheckListing(line.bookable.listing(), "#")}) {
    faults.insert(faults.end(), found.begin(), found.end());
  }
  std::set<std::string> seen;
  for (Violation& fault : faults) {
    fault.pointer = ColumnOf(fault.pointer);
    if (!seen.insert(fault.pointer + std::string(Name(fault.code))).second) continue;
    fault.params["field"] = fault.pointer;
    RefuseLine(line, fault);
  }
}

}  // namespace

const std::vector<std::string>& AttributeFields() {
  static const std::vector<std::string> fields = [] {
    std::set<std::string> names;
    for (int kind = 1; const auto* message = AttributesOf(kind); ++kind) {
      for (int i = 0; i < message->field_count(); ++i) names.insert(message->field(i)->name());
    }
    return std::vector<std::string>(names.begin(), names.end());
  }();
  return fields;
}

Result<ImportFile> OpenImport(const std::string& bytes, bool for_operator, Language language) {
  MILLRACE_TRY(std::string text, DecodeFile(bytes));
  ImportFile file;
  file.text = std::move(text);
  CsvReader reader(file.text);
  std::vector<std::string> cells;
  reader.Next(&cells);
  MILLRACE_TRY(file.header, domain::ReadHeader(cells, AttributeFields(), for_operator, language));
  int rows = 0;
  while (reader.Next(&cells)) ++rows;
  auto refuse = [&](int row, const char* zh, const char* en) {
    return Fail(ErrorCode::kImportRow, {{"row", std::to_string(row)},
                                        {"column", file.header.columns.front()},
                                        {"reason", language == Language::kZh ? zh : en}});
  };
  if (reader.unclosed()) return refuse(reader.line(), "引号没有结束", "a quote is not closed");
  if (rows > domain::kImportRows)
    return refuse(reader.line(), "一个文件最多 100000 行", "a file holds at most 100,000 rows");
  return file;
}

std::set<std::string> NamedOrganizations(const ImportFile& file) {
  std::set<std::string> named;
  int at = file.header.Of("organization");
  CsvReader reader(file.text);
  std::vector<std::string> cells;
  reader.Next(&cells);
  while (at >= 0 && reader.Next(&cells)) {
    if (static_cast<size_t>(at) < cells.size()) named.emplace(domain::Trim(cells[static_cast<size_t>(at)]));
  }
  named.erase("");
  return named;
}

void RefuseLine(ImportLine& line, const Violation& fault) {
  type::ErrorDetail faults;
  faults.ParseFromString(line.faults);
  auto* violation = faults.add_violations();
  violation->set_pointer(fault.pointer);
  violation->set_code(std::string(Name(fault.code)));
  for (const auto& [name, value] : fault.params) (*violation->mutable_params())[name] = value;
  line.faults = faults.SerializeAsString();
}

std::vector<ImportLine> CheckImport(const ImportFile& file, const std::map<std::string, Owner>& owners, bool publish) {
  std::vector<ImportLine> lines;
  CsvReader reader(file.text);
  std::vector<std::string> cells;
  reader.Next(&cells);
  std::set<Key> seen;
  while (reader.Next(&cells)) {
    if (std::ranges::all_of(cells, [](const std::string& cell) { return domain::Trim(cell).empty(); })) continue;
    ImportLine line;
    line.line = reader.line();
    line.cells = CsvRecord(cells, true);
    if (cells.size() != file.header.columns.size()) {
      std::string expected = std::to_string(file.header.columns.size());
      RefuseLine(line, {"_row",
                        ErrorCode::kInvalidFormat,
                        {{"field", "_row"}, {"expected", expected + " cells, as in the header"}}});
    } else {
      Row row(file.header, std::move(cells), line);
      v1::Resource* resource = line.bookable.mutable_resource();
      v1::Listing* listing = line.bookable.mutable_listing();
      row.ReadResource(resource);
      row.ReadCapability(*resource, listing);
      row.ReadPrice(listing, publish);
      CheckMessages(line);
      row.ReadOwner(owners, publish, &line.bookable);
      Key key{IdOrNil(resource->organization_id()), resource->external_id()};
      if (!key.second.empty() && !key.first.IsNil() && !seen.insert(key).second) {
        row.Fault("external_id", ErrorCode::kAlreadyExists, {{"value", key.second}});
      }
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string ImportTemplate(int kind, bool for_operator) {
  std::vector<std::string> columns;
  for (std::string_view column : domain::FixedColumns()) {
    if (column == "source") {
      const auto* attributes = AttributesOf(kind);
      for (int i = 0; i < attributes->field_count(); ++i)
        columns.push_back("attributes." + attributes->field(i)->name());
    }
    if (column != "organization" || for_operator) columns.emplace_back(column);
  }
  return CsvRecord(columns);
}

}  // namespace millrace::listing
