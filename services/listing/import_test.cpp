// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "common/base/csv.h"
#include "services/listing/test_instance.h"

namespace millrace::listing {
namespace {

using google::api::HttpBody;

template <class T>
std::string CodeOf(const Result<T>& result) {
  return result ? "OK" : std::string(Name(result.error().code));
}

// "编号,名称,数量\r\nA,铣床,2\r\n" in GB18030.
constexpr char kGb18030[] =
    "\xb1\xe0\xba\xc5,\xc3\xfb\xb3\xc6,\xca\xfd\xc1\xbf\r\nA,\xce\xe5\xd6\xe1\xbc\xd3\xb9\xa4\xd6\xd0\xd0\xc4,2\r\n";

using Cells = std::map<std::string, std::string>;

std::vector<Cells> ReadSample(const std::string& name) {
  std::ifstream file("deploy/local/sample/" + name);
  EXPECT_TRUE(file) << name;
  std::ostringstream content;
  content << file.rdbuf();
  std::string text = content.str();
  CsvReader reader(text);
  std::vector<std::string> header, fields;
  reader.Next(&header);
  std::vector<Cells> rows;
  while (reader.Next(&fields)) {
    Cells row;
    for (size_t i = 0; i < header.size(); ++i) row[header[i]] = fields[i];
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string Csv(const std::vector<Cells>& rows) {
  std::set<std::string> columns;
  for (const Cells& row : rows) {
    for (const auto& [column, cell] : row) columns.insert(column);
  }
  std::string out = CsvRecord({columns.begin(), columns.end()});
  for (const Cells& row : rows) {
    std::vector<std::string> fields;
    for (const std::string& column : columns) fields.push_back(row.contains(column) ? row.at(column) : "");
    out += CsvRecord(fields);
  }
  return out;
}

class Imports : public ListingInstance {
 protected:
  Result<v1::Import> Create(CallContext context, const std::string& bytes, bool publish = false) {
    v1::CreateImportRequest request;
    request.mutable_file()->set_content_type("text/csv");
    request.mutable_file()->set_data(bytes);
    request.set_publish(publish);
    return Call<v1::Import>("CreateImport", std::move(context), request);
  }
  Result<v1::Import> Confirm(CallContext context, const std::string& id, bool skip_invalid = false) {
    v1::ConfirmImportRequest request;
    request.set_id(id);
    request.set_skip_invalid(skip_invalid);
    return Call<v1::Import>("ConfirmImport", std::move(context), request);
  }
  Result<HttpBody> FailedRows(CallContext context, const std::string& id) {
    v1::GetImportRequest request;
    request.set_id(id);
    return Call<HttpBody>("GetImportFailedRows", std::move(context), request);
  }
  void Know(const std::string& external_id, bool verified = true) {
    identity::v1::Organization organization;
    organization.set_id(FormatId("org", Uuid::New()));
    organization.set_external_id(external_id);
    organization.set_state(verified ? identity::v1::Organization::VERIFIED : identity::v1::Organization::PENDING);
    organizations_[external_id] = organization;
  }
};

TEST_F(Imports, TheWholeSampleCatalogueIsPublishedInOneConfirmation) {
  std::map<std::string, Cells> prices;
  for (Cells& row : ReadSample("prices.csv")) {
    row.erase("synthetic");
    prices[row["external_id"]] = row;
  }
  std::vector<Cells> rows;
  for (const auto& entry : std::filesystem::directory_iterator("deploy/local/sample")) {
    std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".csv" || name == "prices.csv" || name == "organizations.csv") continue;
    for (Cells& row : ReadSample(name)) {
      if (!organizations_.contains(row["organization"])) Know(row["organization"]);
      row.merge(prices[row["external_id"]]);
      rows.push_back(std::move(row));
    }
  }
  ASSERT_GT(rows.size(), 350u);
  Time start = WallNow();
  auto checked = Create(Operator(), Csv(rows), true);
  ASSERT_TRUE(checked) << CodeOf(checked) << " " << checked.error().cause;
  EXPECT_EQ(checked->summary().invalid(), 0) << checked->ShortDebugString();
  EXPECT_EQ(checked->summary().to_create(), static_cast<int>(rows.size()));
  EXPECT_EQ(checked->summary().mapped(), static_cast<int>(rows.size()));
  Time middle = WallNow();
  auto confirmed = Confirm(Operator("confirm-sample"), checked->id());
  ASSERT_TRUE(confirmed) << CodeOf(confirmed) << " " << confirmed.error().cause;
  Time end = WallNow();
  std::printf("%zu rows: checked in %ld ms, confirmed in %ld ms\n", rows.size(),
              static_cast<long>((middle - start).count() / 1000), static_cast<long>((end - middle).count() / 1000));
  EXPECT_LT(end - middle, std::chrono::seconds(3));
  EXPECT_EQ(confirmed->state(), v1::Import::CONFIRMED);
  EXPECT_EQ(Number("SELECT count(*) FROM listing WHERE state = 'PUBLISHED'"), static_cast<int64_t>(rows.size()));
  EXPECT_EQ(Number("SELECT count(*) FROM event WHERE type = 'listing.published'"), static_cast<int64_t>(rows.size()));
  EXPECT_EQ(Number("SELECT count(*) FROM import_row"), 0);
  EXPECT_EQ(Number("SELECT count(*) FROM task"), 0);
  v1::ListListingsRequest first;
  first.set_external_id("EQ-0001");
  auto listed = Call<v1::ListListingsResponse>("ListListings", Operator(), first);
  ASSERT_EQ(listed->data_size(), 1);
  EXPECT_EQ(listed->data(0).capability().envelope_x_mm(), 508);

  // A replay is the same answer; another confirmation is refused; the same file again changes nothing.
  CallContext again = Operator("confirm-sample");
  auto reply = again.reply;
  EXPECT_TRUE(Confirm(again, checked->id()));
  EXPECT_TRUE(reply->replayed);
  EXPECT_EQ(CodeOf(Confirm(Operator(), checked->id())), "STATE_CONFLICT");
  auto second = Create(Operator(), Csv(rows), true);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->summary().unchanged(), static_cast<int>(rows.size()));
  int64_t events = Number("SELECT count(*) FROM event WHERE type <> 'act.performed'");
  ASSERT_TRUE(Confirm(Operator(), second->id()));
  EXPECT_EQ(Number("SELECT count(*) FROM event WHERE type <> 'act.performed'"), events);
}

TEST_F(Imports, FaultsAreNamedByRowAndColumnAndNothingIsTakenOver) {
  Know("ORG-001");
  Know("ORG-002");
  Know("ORG-003", false);
  std::vector<Cells> rows = ReadSample("equipment.csv");
  std::erase_if(rows, [](Cells& row) { return row["organization"] != "ORG-001" && row["organization"] != "ORG-002"; });
  size_t good = rows.size();
  ASSERT_GE(good, 4u);
  Cells bad = rows[0];
  bad["external_id"] = "B-1";
  bad["processes"] = "separating.wishing";
  bad["attributes.axes"] = "five";
  rows.push_back(bad);
  bad = rows[0];
  bad["external_id"] = "B-2";
  bad["organization"] = "ORG-999";
  bad["name_zh"] = "=HYPERLINK(\"http://x\")";
  rows.push_back(bad);
  rows.push_back(rows[0]);  // the same external_id twice
  bad = rows[0];
  bad["external_id"] = "B-3";
  bad["kind"] = "TOOLING";  // with attributes of a machine
  rows.push_back(bad);
  bad = rows[0];
  bad["external_id"] = "B-4";
  bad["units"] = "0";
  rows.push_back(bad);
  auto checked = Create(Operator(), Csv(rows));
  ASSERT_TRUE(checked) << CodeOf(checked);
  EXPECT_EQ(checked->summary().invalid(), 5) << checked->ShortDebugString();
  std::set<std::string> found;
  for (const auto& failure : checked->failures()) {
    found.insert(std::to_string(failure.row() - static_cast<int>(good) - 1) + " " + failure.column() + " " +
                 failure.code());
    EXPECT_FALSE(failure.detail().empty());
  }
  for (const char* wanted :
       {"1 processes UNKNOWN_PROCESS", "1 attributes.axes INVALID_FORMAT", "2 organization NOT_FOUND",
        "3 external_id ALREADY_EXISTS", "4 attributes.axes UNKNOWN_FIELD", "5 units OUT_OF_RANGE"}) {
    EXPECT_TRUE(found.contains(wanted)) << wanted << "\n" << checked->ShortDebugString();
  }
  auto refused = Confirm(Operator("confirm-1"), checked->id());
  ASSERT_EQ(CodeOf(refused), "IMPORT_ROW");
  EXPECT_EQ(refused.error().params.at("row"), std::to_string(good + 2));
  EXPECT_FALSE(refused.error().params.at("reason").ends_with("。"));
  EXPECT_EQ(Number("SELECT count(*) FROM resource"), 0);

  auto csv = FailedRows(Operator(), checked->id());
  ASSERT_TRUE(csv);
  EXPECT_TRUE(csv->data().starts_with("\xEF\xBB\xBF"));
  EXPECT_NE(csv->data().find(",_row,_column,_code,_message\r\n"), std::string::npos);
  EXPECT_NE(csv->data().find("'=HYPERLINK"), std::string::npos);
  EXPECT_EQ(CodeOf(FailedRows(Stranger(), checked->id())), "NOT_FOUND");
  EXPECT_EQ(CodeOf(Confirm(Provider(), checked->id(), true)), "NOT_FOUND");

  auto confirmed = Confirm(Operator(), checked->id(), true);
  ASSERT_TRUE(confirmed) << CodeOf(confirmed);
  EXPECT_EQ(confirmed->summary().to_create(), static_cast<int>(good));
  EXPECT_EQ(Number("SELECT count(*) FROM resource"), static_cast<int64_t>(good));
  EXPECT_EQ(Number("SELECT count(DISTINCT organization) FROM resource"), 2);
  EXPECT_TRUE(FailedRows(Operator(), checked->id()));
}

TEST_F(Imports, HeadersAndEncodings) {
  auto gb = Create(Provider(), kGb18030);
  ASSERT_TRUE(gb) << CodeOf(gb);
  EXPECT_EQ(gb->summary().to_create(), 1);
  EXPECT_EQ(gb->summary().mapped(), 1);
  ASSERT_TRUE(Confirm(Provider(), gb->id()));
  auto list = Call<v1::ListListingsResponse>("ListListings", Provider(), v1::ListListingsRequest());
  ASSERT_TRUE(list);
  ASSERT_EQ(list->data_size(), 1);
  EXPECT_EQ(list->data(0).state(), v1::Listing::DRAFT);
  EXPECT_EQ(list->data(0).capability().processes(0), "separating.milling.five_axis");

  auto bom = Create(Provider(),
                    "\xEF\xBB\xBF"
                    "external_id,name_en,colour\nX,mill,red\n");
  ASSERT_EQ(CodeOf(bom), "IMPORT_HEADER");
  EXPECT_EQ(bom.error().params.at("column"), "colour");
  EXPECT_EQ(CodeOf(Create(Provider(), "\xff\xff\xff\xff")), "IMPORT_ENCODING");
  EXPECT_EQ(CodeOf(Create(Provider(), "")), "IMPORT_HEADER");
  EXPECT_EQ(CodeOf(Create(Provider(), "external_id,name_en\nX,\"mill\n")), "IMPORT_ROW");
  std::string many;
  for (int i = 0; i < 51; ++i) many += "separating.turning;";
  auto too_many = Create(Provider(), "external_id,name_en,processes\nX,mill," + many + "\n");
  ASSERT_TRUE(too_many);
  ASSERT_EQ(too_many->failures_size(), 1);
  EXPECT_EQ(too_many->failures(0).column() + too_many->failures(0).code(), "processesTOO_LONG");
  auto unnamed = Create(Provider(), "external_id,name_en\nX,Dell box\nY\n\n");
  ASSERT_TRUE(unnamed);
  EXPECT_EQ(unnamed->summary().unmapped(), 1);
  EXPECT_EQ(unnamed->summary().invalid(), 1);
  EXPECT_EQ(unnamed->failures(0).row(), 3);
  auto column = Call<HttpBody>("GetImportTemplate", Provider(), v1::GetImportTemplateRequest());
  ASSERT_TRUE(column);
  EXPECT_TRUE(Create(Provider(), column->data())) << column->data();
}

TEST_F(Imports, ASecondFileChangesOnlyWhatItSays) {
  std::string head = "external_id,name_zh,model,processes,hourly_price_fen,vat_rate_bp,calendar\n";
  auto first = Create(Provider(),
                      head + "X,车床,A,separating.turning,5000,1300,day_shift\nY,铣床,B,separating.milling,,,\n", true);
  ASSERT_TRUE(first) << CodeOf(first);
  ASSERT_EQ(first->summary().invalid(), 0) << first->ShortDebugString();
  ASSERT_TRUE(Confirm(Provider(), first->id()));
  EXPECT_EQ(Number("SELECT count(*) FROM listing WHERE state = 'PUBLISHED' AND external_id = 'X'"), 1);
  EXPECT_EQ(Number("SELECT count(*) FROM listing WHERE state = 'DRAFT' AND external_id = 'Y'"), 1);
  auto second = Create(Provider(), "external_id,name_zh,model\nX,车床,A2\nY,铣床,B\nZ,数控车床,C\n");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->summary().to_create(), 1);
  EXPECT_EQ(second->summary().to_update(), 1) << second->ShortDebugString();
  EXPECT_EQ(second->summary().unchanged(), 1);
  ASSERT_TRUE(Confirm(Provider(), second->id()));
  v1::ListListingsRequest wanted;
  wanted.set_external_id("X");
  auto list = Call<v1::ListListingsResponse>("ListListings", Provider(), wanted);
  ASSERT_EQ(list->data_size(), 1);
  EXPECT_EQ(list->data(0).price_plan().steps(0).unit_price(), 5000);
  EXPECT_EQ(list->data(0).state(), v1::Listing::PUBLISHED);
  EXPECT_EQ(list->data(0).version(), 3);
  auto kind = Create(Provider(), "external_id,name_zh,kind\nX,车床,TOOLING\n");
  ASSERT_TRUE(kind);
  ASSERT_EQ(kind->failures_size(), 1);
  EXPECT_EQ(kind->failures(0).column(), "kind");
  EXPECT_EQ(kind->summary().invalid() + kind->summary().mapped(), 1);
  EXPECT_NE(FailedRows(Provider(), kind->id())->data().find("X,车床,TOOLING,2,kind,INVALID_FORMAT,"),
            std::string::npos);
}

TEST_F(Imports, TheEnvelopeComesFromTheAttributesUntilTheProviderStatesOne) {
  auto take = [this](const std::string& csv) {
    auto checked = Create(Provider(), csv);
    ASSERT_TRUE(checked) << CodeOf(checked);
    ASSERT_EQ(checked->summary().invalid(), 0) << checked->ShortDebugString();
    ASSERT_TRUE(Confirm(Provider(), checked->id()));
  };
  auto listing = [this](const std::string& external_id) {
    v1::ListListingsRequest wanted;
    wanted.set_external_id(external_id);
    auto list = Call<v1::ListListingsResponse>("ListListings", Provider(), wanted);
    EXPECT_EQ(list->data_size(), 1) << external_id;
    return list->data(0);
  };
  auto envelope = [&](const std::string& external_id) {
    v1::Listing found = listing(external_id);
    const v1::Capability& c = found.capability();
    return std::to_string(c.envelope_x_mm()) + " " + std::to_string(c.envelope_y_mm()) + " " +
           std::to_string(c.envelope_z_mm());
  };
  std::string head = "external_id,name_zh,processes,";
  for (const char* field : {"travel", "build"}) {
    for (const char* axis : {"x", "y", "z"}) head += std::string("attributes.") + field + "_" + axis + "_mm,";
  }
  head += "kind\n";
  std::string first = head +
                      "T,铣床,separating.milling,508,406,500,,,,\n"
                      "B,打印机,primary_shaping.additive,9,9,9,250,250,300,\n"
                      "L,车床,separating.turning,200,,400,,,,\n"
                      "N,铣床,separating.milling,508,0,500,,,,\n"
                      "H,铣床,separating.milling,508,406,2000000,,,,\n";
  take(first);
  EXPECT_EQ(envelope("T"), "508 406 500");
  EXPECT_EQ(envelope("B"), "250 250 300");
  for (const char* not_all : {"L", "N", "H"}) EXPECT_EQ(envelope(not_all), "0 0 0") << not_all;
  auto again = Create(Provider(), first);
  EXPECT_EQ(again->summary().unchanged(), 5) << again->ShortDebugString();
  // It follows the attributes as long as nobody says otherwise.
  take(head + "T,铣床,separating.milling,600,406,500,,,,\n");
  EXPECT_EQ(envelope("T"), "600 406 500");
  v1::Listing stated = listing("T");
  v1::UpdateListingRequest update;
  update.set_id(stated.id());
  update.mutable_listing()->set_resource_id(stated.resource_id());
  update.mutable_listing()->set_external_id("T");
  *update.mutable_listing()->mutable_capability() = stated.capability();
  update.mutable_listing()->mutable_capability()->set_envelope_z_mm(450);
  CallContext any = Provider();
  any.if_match = "*";
  ASSERT_TRUE(Call<v1::Listing>("UpdateListing", any, update));
  take(head + "T,铣床,separating.milling,700,406,500,,,,\n");
  EXPECT_EQ(envelope("T"), "600 406 450");
}

TEST_F(Imports, PublishesOnlyWhatTheRowPrices) {
  // The operator may take rows over for an organization that is not verified, but publish nothing of it: a draft that
  // has its price already stays one.
  Know("ORG-001", false);
  std::string head = "organization,external_id,name_zh,processes,hourly_price_fen,vat_rate_bp,calendar\n";
  std::string priced = head + "ORG-001,X,车床,separating.turning,5000,1300,day_shift\n";
  auto draft = Create(Operator(), priced);
  ASSERT_TRUE(draft);
  ASSERT_TRUE(Confirm(Operator(), draft->id()));
  EXPECT_EQ(Create(Operator(), priced, true)->failures(0).code(), "ORGANIZATION_NOT_VERIFIED");
  auto unpriced = Create(Operator(), head + "ORG-001,X,数控车床,separating.turning,,,\n", true);
  ASSERT_TRUE(unpriced);
  ASSERT_TRUE(Confirm(Operator(), unpriced->id()));
  EXPECT_EQ(Number("SELECT count(*) FROM listing WHERE state = 'DRAFT' AND version = 2"), 1);
}

TEST_F(Imports, OtherCommandsDoNotWaitForAFile) {
  std::string csv = "external_id,name_zh,processes\n";
  for (int i = 0; i < 1500; ++i) csv += "L-" + std::to_string(i) + ",车床,separating.turning\n";
  auto checked = Create(Provider(), csv);
  ASSERT_TRUE(checked) << CodeOf(checked);
  v1::ConfirmImportRequest confirm;
  confirm.set_id(checked->id());
  bool confirmed = false, overtaken = false;
  auto run = [](rpc::Channel& channel, CallContext context, v1::ConfirmImportRequest request,
                bool* done) -> Task<void> {
    Result<v1::Import> answer = co_await rpc::Call<v1::Import>(
        channel, "millrace.listing.v1.ListingService.ConfirmImport", std::move(context), std::move(request));
    *done = answer.has_value();
  };
  CallContext context = Provider();
  context.deadline = WallNow() + std::chrono::seconds(60);
  Spawn(context_.get_executor(), run(channel(), context, confirm, &confirmed), "confirm");
  MakeResource(Mill("M-9"));
  overtaken = !confirmed;
  EXPECT_TRUE(overtaken);
  EXPECT_TRUE(Until([&] { return confirmed; }));
}

// MILLRACE_ROWS sets how many; what a row costs is printed.
TEST_F(Imports, ALongFileIsTakenOverWhole) {
  const char* wanted = std::getenv("MILLRACE_ROWS");
  int rows = wanted ? std::atoi(wanted) : 2500;
  std::string csv = "external_id,name_zh,attributes.axes,processes,hourly_price_fen,vat_rate_bp,calendar\n";
  for (int i = 0; i < rows; ++i) csv += "L-" + std::to_string(i) + ",车床,2,separating.turning,5000,1300,day_shift\n";
  Time start = WallNow();
  auto checked = Create(Provider(), csv, true);
  ASSERT_TRUE(checked) << CodeOf(checked) << checked.error().cause;
  Time middle = WallNow();
  auto confirmed = Confirm(Provider(), checked->id());
  ASSERT_TRUE(confirmed) << CodeOf(confirmed) << confirmed.error().cause;
  std::printf("%d rows: checked in %ld ms, confirmed in %ld ms\n", rows,
              static_cast<long>((middle - start).count() / 1000),
              static_cast<long>((WallNow() - middle).count() / 1000));
  EXPECT_EQ(confirmed->summary().to_create(), rows);
  EXPECT_EQ(Number("SELECT count(*) FROM listing WHERE state = 'PUBLISHED'"), rows);
}

TEST_F(Imports, AnUnconfirmedImportExpires) {
  auto checked = Create(Provider(), "external_id,name_zh\nX,车床\n");
  ASSERT_TRUE(checked);
  Advance(23);
  v1::GetImportRequest wanted;
  wanted.set_id(checked->id());
  EXPECT_EQ(Call<v1::Import>("GetImport", Provider(), wanted)->state(), v1::Import::VALIDATED);
  Advance(2);
  EXPECT_EQ(Call<v1::Import>("GetImport", Provider(), wanted)->state(), v1::Import::EXPIRED);
  EXPECT_EQ(CodeOf(Confirm(Provider(), checked->id())), "STATE_CONFLICT");
  EXPECT_EQ(CodeOf(Call<v1::Import>("GetImport", Stranger(), wanted)), "NOT_FOUND");
  EXPECT_EQ(Number("SELECT count(*) FROM import_row"), 0);
}

}  // namespace
}  // namespace millrace::listing
