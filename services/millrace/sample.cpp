// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/sample.h"

#include <map>
#include <span>
#include <vector>

#include "common/base/csv.h"
#include "common/base/embedded_file.h"

namespace millrace {

std::span<const EmbeddedFile> SampleFiles();

namespace {

using Row = std::map<std::string, std::string>;

std::vector<Row> ReadRows(std::string_view bytes, std::vector<std::string>* header) {
  CsvReader reader(bytes);
  std::vector<Row> rows;
  reader.Next(header);
  for (std::vector<std::string> fields; reader.Next(&fields);) {
    Row row;
    for (size_t i = 0; i < header->size() && i < fields.size(); ++i) row[(*header)[i]] = fields[i];
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string_view SampleFile(std::string_view name) {
  for (const EmbeddedFile& file : SampleFiles()) {
    if (file.name == name) return file.bytes;
  }
  return {};
}

std::unexpected<Error> Refused(const std::string& what, const Answer& answer) {
  return Fail(Error::Internal(what + ": " + Describe(answer)));
}

Result<void> RegisterOrganization(const ApiClient& client, const Row& row) {
  const std::string& id = row.at("external_id");
  Json body = {{"display_name", row.at("name_zh")},
               {"uscc", row.at("uscc")},
               {"industry_code", row.at("industry_code")},
               {"region_code", row.at("region_code")},
               {"external_id", id},
               {"metadata", {{"name_en", row.at("name_en")}, {"site_name", row.at("site_name")}}},
               {"synthetic", true}};
  // Keys that follow from the row: loading again after an interruption goes on where it stopped.
  Answer made = client.WithKey("").Call("POST", "/v1/organizations", body, "sample-" + id);
  if (!made.ok()) return Refused(id, made);
  std::string path = "/v1/organizations/" + made.body["organization"]["id"].get<std::string>() + ":verify";
  Answer verified = client.Call("POST", path, nullptr, "sample-verify-" + id);
  if (!verified.ok() && verified.status != 409) return Refused(id, verified);
  return {};
}

// A resource file with the positions of its owners' sites and the prices put in.
std::string Joined(std::string_view bytes, const std::map<std::string, Row>& owners,
                   const std::map<std::string, Row>& prices) {
  static const std::vector<std::string> kPriceColumns = {"hourly_price_fen", "deposit_fen", "setup_fee_fen",
                                                         "vat_rate_bp", "calendar"};
  std::vector<std::string> header;
  std::vector<Row> rows = ReadRows(bytes, &header);
  std::vector<std::string> columns = header;
  columns.insert(columns.end(), {"longitude", "latitude"});
  columns.insert(columns.end(), kPriceColumns.begin(), kPriceColumns.end());
  std::string out = CsvRecord(columns);
  for (Row& row : rows) {
    auto owner = owners.find(row["organization"]);
    auto price = prices.find(row["external_id"]);
    if (owner != owners.end()) {
      for (const char* column : {"longitude", "latitude"}) row[column] = owner->second.at(column);
    }
    if (price != prices.end()) {
      for (const std::string& column : kPriceColumns) row[column] = price->second.at(column);
    }
    std::vector<std::string> fields;
    for (const std::string& column : columns) fields.push_back(row[column]);
    out += CsvRecord(fields);
  }
  return out;
}

std::map<std::string, Row> ByExternalId(std::string_view file) {
  std::vector<std::string> header;
  std::map<std::string, Row> rows;
  for (Row& row : ReadRows(SampleFile(file), &header)) {
    std::string id = row["external_id"];
    rows[id] = std::move(row);
  }
  return rows;
}

}  // namespace

Result<std::string> LoadSampleCatalogue(const ApiClient& client) {
  std::map<std::string, Row> owners = ByExternalId("organizations.csv"), prices = ByExternalId("prices.csv");
  Answer there = client.Call("GET", "/v1/resources?external_id=" + prices.rbegin()->first + "&page_size=1");
  if (there.ok() && !there.body["data"].empty()) return std::string();
  for (const auto& [id, row] : owners) MILLRACE_CHECK(RegisterOrganization(client, row));
  int resources = 0;
  for (const EmbeddedFile& file : SampleFiles()) {
    if (file.name == "organizations.csv" || file.name == "prices.csv") continue;
    std::string name(file.name);
    Answer checked = client.Send("POST", "/v1/imports?publish=true", Joined(file.bytes, owners, prices), "text/csv");
    if (!checked.ok()) return Refused(name, checked);
    if (checked.body["summary"].value("invalid", 0) > 0) {
      const Json& failure = checked.body["failures"][0];
      return Fail(Error::Internal(name + " row " + std::to_string(failure.value("row", 0)) + ", column " +
                                  failure.value("column", "") + ": " + failure.value("detail", "")));
    }
    Answer confirmed = client.Call("POST", "/v1/imports/" + checked.body["id"].get<std::string>() + ":confirm");
    if (!confirmed.ok()) return Refused(name, confirmed);
    resources += confirmed.body["summary"].value("to_create", 0);
  }
  return "loaded the sample catalogue: " + std::to_string(owners.size()) + " enterprises (synthetic), " +
         std::to_string(resources) + " resources, each published";
}

}  // namespace millrace
