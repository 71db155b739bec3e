// SPDX-License-Identifier: Apache-2.0
// Industry codes and invitations from the park's register.
#include "services/identity/app/register.h"

#include <thread>

#include "services/identity/identity_test.h"

namespace millrace::identity {
namespace {

class RegisterTest : public IdentityTest {
 protected:
  template <class Response, class Request>
  Result<Response> Import(const char* method, const std::string& csv, bool check, CallContext context) {
    Request request;
    request.mutable_file()->set_content_type("text/csv");
    request.mutable_file()->set_data(csv);
    request.set_validate_only(check);
    return instance_->Call<Response>(method, std::move(context), std::move(request));
  }
  Result<v1::ImportIndustryCodesResponse> Load(const std::string& csv, bool check = false,
                                               CallContext context = Operator()) {
    return Import<v1::ImportIndustryCodesResponse, v1::ImportIndustryCodesRequest>("Register.ImportIndustryCodes", csv,
                                                                                   check, std::move(context));
  }
  Result<v1::ImportRegisterInvitationsResponse> Invite(const std::string& csv, bool check = false,
                                                       CallContext context = Operator()) {
    return Import<v1::ImportRegisterInvitationsResponse, v1::ImportRegisterInvitationsRequest>(
        "Register.ImportRegisterInvitations", csv, check, std::move(context));
  }
  v1::ListIndustryCodesResponse Codes(const std::string& parent, int size = 0, const std::string& token = {}) {
    v1::ListIndustryCodesRequest request;
    request.set_parent(parent);
    request.set_page_size(size);
    request.set_page_token(token);
    auto page = instance_->Call<v1::ListIndustryCodesResponse>("Register.ListIndustryCodes", Nobody(), request);
    EXPECT_TRUE(page) << Name(page.error().code) << page.error().cause;
    return page.value_or(v1::ListIndustryCodesResponse());
  }
  Result<v1::CreateOrganizationResponse> RegisterAs(int number, const std::string& industry, std::string code = {},
                                                    std::string key = {}) {
    v1::CreateOrganizationRequest request = Registration(number);
    request.mutable_organization()->set_industry_code(industry);
    request.mutable_organization()->set_invitation_code(std::move(code));
    return instance_->Call<v1::CreateOrganizationResponse>("CreateOrganization", Nobody(std::move(key)), request);
  }
  // With nothing but the name, the uscc and the code.
  Result<v1::CreateOrganizationResponse> Accept(int number, const std::string& code, std::string key = {}) {
    v1::CreateOrganizationRequest request;
    request.mutable_organization()->set_display_name("自报名称");
    request.mutable_organization()->set_uscc(MakeUscc(number));
    request.mutable_organization()->set_invitation_code(code);
    return instance_->Call<v1::CreateOrganizationResponse>("CreateOrganization", Nobody(std::move(key)), request);
  }
  Result<v1::RegisterInvitation> Get(const std::string& id, CallContext context = Operator()) {
    v1::GetRegisterInvitationRequest request;
    request.set_id(id);
    return instance_->Call<v1::RegisterInvitation>("Register.GetRegisterInvitation", std::move(context), request);
  }
  Result<v1::RegisterInvitation> Withdraw(const std::string& id, std::string key = {}) {
    v1::WithdrawRegisterInvitationRequest request;
    request.set_id(id);
    request.set_reason("moved away");
    return instance_->Call<v1::RegisterInvitation>("Register.WithdrawRegisterInvitation", Operator(std::move(key)),
                                                   request);
  }
  // A row of an enterprise with every fact.
  static std::string Row(int number) {
    std::string text = std::to_string(number);
    return MakeUscc(number) + ",登记企业 " + text + ",3421,320583,a" + text + "@example.com,王工,park-" + text + "\n";
  }
};

constexpr const char* kHeader = "uscc,display_name,industry_code,region_code,contact_email,contact_name,external_id\n";
constexpr const char* kMachines =
    "code,name_zh,name_en\n342,金属加工机械制造,Metalworking "
    "machinery\n3421,金属切削机床制造,\nC3422,金属成形机床制造,\n";

std::string Places(const Error& error) {
  std::string text;
  for (const Violation& each : error.violations) text += each.pointer + " " + std::string(Name(each.code)) + "\n";
  return text;
}

TEST_F(RegisterTest, LoadsIndustryCodesAndLooksThemUp) {
  EXPECT_TRUE(RegisterAs(1, "C3499")) << "nothing is loaded: the division is enough";
  auto loaded = Load(kMachines, false, Operator("load-codes-1"));
  ASSERT_TRUE(loaded) << Places(loaded.error()) << loaded.error().cause;
  EXPECT_EQ(loaded->inserted(), 3);
  CallContext again = Operator("load-codes-1");
  EXPECT_EQ(Load(kMachines, false, again)->inserted(), 3);
  EXPECT_TRUE(again.reply->replayed);
  auto other = Load(
      "代码,名称,英文名称\nC,制造业,\n34,通用设备制造业,\n3421,金属切削机床制造,Machine "
      "tools\n3422,金属成形机床制造,\n");
  ASSERT_TRUE(other) << Places(other.error());
  EXPECT_EQ(other->inserted(), 0);
  EXPECT_EQ(other->changed(), 1);
  EXPECT_EQ(other->unchanged(), 1);
  EXPECT_EQ(other->built_in(), 2);
  EXPECT_EQ(Count("SELECT count(*) FROM industry_code"), 3);

  int number = 100;
  for (const char* known : {"3421", "C3422", "342", "34", "C", "3599", ""})
    EXPECT_TRUE(RegisterAs(++number, known)) << known;
  for (const char* unknown : {"3499", "C349", "3420"}) {
    Error refused = RegisterAs(2, unknown).error();
    EXPECT_EQ(refused.code, ErrorCode::kUnknownIndustryCode) << unknown;
    EXPECT_EQ(refused.violations.at(0).pointer, "#/organization/industry_code");
  }
  EXPECT_EQ(Load(kMachines, false, Caller(Uuid::New(), {"admin", "buyer"})).error().code,
            ErrorCode::kInsufficientScope);
  EXPECT_GE(Count("SELECT count(*) FROM event WHERE type = 'act.performed'"), 2);
}

TEST_F(RegisterTest, TellsEveryFaultOfAFileOfCodesAndKeepsNothing) {
  const std::string csv = "name_zh,code\n锅炉,341\n锅炉,A3411\n,3412\n机床,3421\n锅炉,C341\n无,\n无,3x1\n" +
                          std::string(201, 'x') + ",345\na,b,c\n";
  auto refused = Load(csv);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(Places(refused.error()),
            "#/file/3/code UNKNOWN_INDUSTRY_CODE\n#/file/4/name_zh REQUIRED\n#/file/5/code PARENT_MISSING\n"
            "#/file/6/code ALREADY_EXISTS\n#/file/7/code REQUIRED\n#/file/8/code UNKNOWN_INDUSTRY_CODE\n"
            "#/file/9/name_zh TOO_LONG\n#/file/10/_row INVALID_FORMAT\n");
  auto told = Load(csv, true);
  ASSERT_TRUE(told);
  ASSERT_EQ(told->findings_size(), 8);
  EXPECT_EQ(told->findings(2).row(), 5);
  EXPECT_EQ(told->findings(2).column(), "code");
  EXPECT_EQ(told->findings(2).code(), "PARENT_MISSING");
  EXPECT_NE(told->findings(2).detail().find("342"), std::string::npos);
  EXPECT_EQ(told->inserted(), 0);
  auto fine = Load(kMachines, true);
  ASSERT_TRUE(fine);
  EXPECT_EQ(fine->inserted(), 3);
  EXPECT_EQ(Count("SELECT count(*) FROM industry_code"), 0);
  ASSERT_TRUE(Load(kMachines));
  EXPECT_TRUE(Load("code,name_zh\n3423,铸造机械制造\n")) << "its group is loaded";
  EXPECT_EQ(Load("code,name_zh\n3431,轻小型起重设备制造\n").error().code, ErrorCode::kParentMissing);

  v1::ImportIndustryCodesRequest json;
  json.mutable_file()->set_content_type("application/json");
  json.mutable_file()->set_data("{}");
  EXPECT_EQ(
      instance_->Call<v1::ImportIndustryCodesResponse>("Register.ImportIndustryCodes", Operator(), json).error().code,
      ErrorCode::kUnsupportedMediaType);
}

TEST_F(RegisterTest, ListsCodesInTheOrderOfTheTree) {
  ASSERT_TRUE(Load(kMachines));
  std::vector<std::string> seen;
  std::string token;
  do {
    auto page = Codes("", 7, token);
    EXPECT_LE(page.data_size(), 7);
    for (const auto& each : page.data()) seen.push_back(each.code());
    token = page.next_page_token();
  } while (!token.empty());
  ASSERT_EQ(seen.size(), 120u);
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 120u);
  auto at = std::ranges::find(seen, "34");
  EXPECT_EQ(std::vector<std::string>(at - 1, at + 5),
            (std::vector<std::string>{"33", "34", "342", "3421", "3422", "35"}));
  // Wherever a page ends, the next one goes on behind it.
  for (int size = 1; size <= 5; ++size) {
    std::vector<std::string> walked;
    token.clear();
    do {
      auto page = Codes("34", size, token);
      for (const auto& each : page.data()) walked.push_back(each.code());
      token = page.next_page_token();
    } while (!token.empty());
    EXPECT_EQ(walked, std::vector<std::string>{"342"});
  }
  auto classes = Codes("C342");
  ASSERT_EQ(classes.data_size(), 2);
  EXPECT_EQ(classes.data(1).code(), "3422");
  EXPECT_EQ(classes.data(1).level(), v1::IndustryCode::CLASS);
  EXPECT_EQ(classes.data(1).parent(), "342");
  EXPECT_EQ(classes.data(1).display_name().zh(), "金属成形机床制造");
  EXPECT_FALSE(classes.data(1).built_in());
  auto divisions = Codes("C");
  ASSERT_EQ(divisions.data_size(), 31);
  EXPECT_EQ(divisions.data(21).display_name().en(), "Manufacture of general purpose machinery");
  EXPECT_TRUE(divisions.data(21).built_in());
  EXPECT_EQ(Codes("3421").data_size(), 0);
  v1::ListIndustryCodesRequest wrong;
  wrong.set_parent("A34");
  EXPECT_EQ(instance_->Call<v1::ListIndustryCodesResponse>("Register.ListIndustryCodes", Nobody(), wrong).error().code,
            ErrorCode::kUnknownIndustryCode);
  wrong.set_parent("34");
  wrong.set_page_token(Codes("", 1).next_page_token());
  EXPECT_EQ(instance_->Call<v1::ListIndustryCodesResponse>("Register.ListIndustryCodes", Nobody(), wrong).error().code,
            ErrorCode::kInvalidPageToken);
}

TEST_F(RegisterTest, InvitesAndShowsTheCodesOnEveryReplay) {
  auto made = Invite(kHeader + Row(1) + Row(2), false, Operator("invite-file-1"));
  ASSERT_TRUE(made) << Places(made.error()) << made.error().cause;
  EXPECT_EQ(made->invited(), 2);
  EXPECT_EQ(made->skipped(), 0);
  ASSERT_EQ(made->invitations_size(), 2);
  const v1::RegisterInvitation& first = made->invitations(0);
  EXPECT_EQ(first.uscc(), MakeUscc(1));
  EXPECT_EQ(first.contact_name(), "王工");
  EXPECT_EQ(first.state(), v1::RegisterInvitation::OPEN);
  EXPECT_TRUE(first.code().starts_with("inv_"));
  EXPECT_NE(first.code(), made->invitations(1).code());
  bool deadline = false;
  for (const auto& action : first.actions()) {
    if (action.has_deadline_time())
      deadline =
          action.action() == "expire" && action.deadline_time().seconds() - first.create_time().seconds() == 30 * 86400;
  }
  EXPECT_TRUE(deadline);
  CallContext again = Operator("invite-file-1");
  auto replay = Invite(kHeader + Row(1) + Row(2), false, again);
  ASSERT_TRUE(replay);
  EXPECT_TRUE(again.reply->replayed);
  EXPECT_EQ(replay->SerializeAsString(), made->SerializeAsString());
  EXPECT_EQ(Get(first.id())->code(), "");
  std::string dump = Dump();
  EXPECT_NE(dump.find(crypto::Hex(crypto::Sha256(first.code()))), dump.npos);
  EXPECT_EQ(dump.find(first.code()), dump.npos);
  EXPECT_EQ(dump.find(crypto::Hex(first.code())), dump.npos);
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'act.performed'"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM task WHERE kind = 'expire_register_invitation'"), 2);

  v1::ListRegisterInvitationsRequest list;
  list.set_page_size(1);
  auto page =
      instance_->Call<v1::ListRegisterInvitationsResponse>("Register.ListRegisterInvitations", Operator(), list);
  ASSERT_TRUE(page);
  ASSERT_EQ(page->data_size(), 1);
  list.set_page_token(page->next_page_token());
  auto rest =
      instance_->Call<v1::ListRegisterInvitationsResponse>("Register.ListRegisterInvitations", Operator(), list);
  ASSERT_EQ(rest->data_size(), 1);
  EXPECT_NE(rest->data(0).id(), page->data(0).id());
  EXPECT_EQ(rest->next_page_token(), "");

  auto withdrawn = Withdraw(first.id());
  ASSERT_TRUE(withdrawn);
  EXPECT_EQ(withdrawn->state(), v1::RegisterInvitation::WITHDRAWN);
  EXPECT_EQ(withdrawn->state_reason(), "moved away");
  EXPECT_EQ(withdrawn->actions_size(), 0);
  EXPECT_EQ(Withdraw(first.id()).error().code, ErrorCode::kStateConflict);
  EXPECT_EQ(Accept(1, first.code()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Count("SELECT count(*) FROM task WHERE kind = 'expire_register_invitation'"), 1);
  list.clear_page_token();
  list.set_state(v1::RegisterInvitation::OPEN);
  page = instance_->Call<v1::ListRegisterInvitationsResponse>("Register.ListRegisterInvitations", Operator(), list);
  ASSERT_EQ(page->data_size(), 1);
  EXPECT_EQ(page->data(0).uscc(), MakeUscc(2));
  EXPECT_TRUE(Invite(kHeader + Row(1))) << "a withdrawn one is no obstacle";
}

TEST_F(RegisterTest, TellsFaultsAndWhatItLeavesOut) {
  ASSERT_TRUE(Load(kMachines));
  ASSERT_TRUE(RegisterAs(1, "3421"));  // its external_id is erp-1
  ASSERT_TRUE(Invite(kHeader + Row(2)));
  std::string wrong = MakeUscc(8);
  wrong.back() = wrong.back() == '0' ? '1' : '0';
  std::string faulty = kHeader + Row(1) + Row(2) + Row(3) + wrong + ",x,3499,99,nobody,,\n" + MakeUscc(3) +
                       ",,3499,,,,park-3\n" + MakeUscc(4) + ",x,3499,,,,\n" + MakeUscc(5) + ",x,,,,,erp-1\n" +
                       MakeUscc(6) + ",x,,,,,park-2\n";
  auto told = Invite(faulty, true);
  ASSERT_TRUE(told) << told.error().cause;
  std::string text;
  for (const auto& each : told->findings())
    text +=
        std::to_string(each.row()) + " " + each.column() + " " + each.code() + (each.skipped() ? " skipped\n" : "\n");
  EXPECT_EQ(text,
            "2 uscc ALREADY_REGISTERED skipped\n3 uscc ALREADY_INVITED skipped\n"
            "5 uscc USCC_CHECK_DIGIT\n5 region_code INVALID_FORMAT\n5 contact_email INVALID_FORMAT\n"
            "5 industry_code UNKNOWN_INDUSTRY_CODE\n"
            "6 display_name REQUIRED\n6 uscc ALREADY_EXISTS\n6 external_id ALREADY_EXISTS\n"
            "6 industry_code UNKNOWN_INDUSTRY_CODE\n"
            "7 industry_code UNKNOWN_INDUSTRY_CODE\n8 external_id ALREADY_EXISTS\n9 external_id ALREADY_EXISTS\n");
  EXPECT_EQ(told->invited(), 1);
  EXPECT_EQ(told->skipped(), 2);
  EXPECT_EQ(told->invitations_size(), 0);
  auto refused = Invite(faulty);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().violations.size(), 11u);
  EXPECT_EQ(Count("SELECT count(*) FROM register_invitation"), 1) << "all rows or none";

  auto fine = Invite(kHeader + Row(1) + Row(2) + Row(3));
  ASSERT_TRUE(fine) << Places(fine.error());
  EXPECT_EQ(fine->invited(), 1);
  EXPECT_EQ(fine->skipped(), 2);
  ASSERT_EQ(fine->findings_size(), 2);
  EXPECT_TRUE(fine->findings(0).skipped());
  EXPECT_EQ(fine->invitations(0).uscc(), MakeUscc(3));
}

TEST_F(RegisterTest, AnInvitedEnterpriseRegistersWithItsCode) {
  auto made = Invite(kHeader + Row(1) + Row(2) + Row(3) + Row(4));
  ASSERT_TRUE(made);
  auto code = [&](int number) { return made->invitations(number - 1).code(); };
  auto id = [&](int number) { return made->invitations(number - 1).id(); };
  // Whatever is wrong with a code is answered alike.
  for (const auto& refused : {Accept(1, code(2)), Accept(9, code(1)), Accept(1, "inv_nonsense"), Accept(9, "x")}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kNotFound);
    EXPECT_EQ(Places(refused.error()), "#/organization/invitation_code NOT_FOUND\n");
  }
  v1::CreateOrganizationRequest check;
  check.mutable_organization()->set_display_name("自报名称");
  check.mutable_organization()->set_uscc(MakeUscc(1));
  check.mutable_organization()->set_invitation_code(code(1));
  check.set_validate_only(true);
  EXPECT_TRUE(instance_->Call<v1::CreateOrganizationResponse>("CreateOrganization", Nobody(), check));
  EXPECT_EQ(Get(id(1))->state(), v1::RegisterInvitation::OPEN) << "a check uses no code";

  auto accepted = Accept(1, code(1), "accept-by-code-1");
  ASSERT_TRUE(accepted) << Places(accepted.error()) << accepted.error().cause;
  const v1::Organization& organization = accepted->organization();
  EXPECT_EQ(organization.state(), v1::Organization::PENDING);
  EXPECT_EQ(organization.display_name(), "自报名称");
  EXPECT_EQ(organization.industry_code(), "3421");
  EXPECT_EQ(organization.region_code(), "320583");
  EXPECT_EQ(organization.external_id(), "park-1");
  EXPECT_EQ(organization.invitation_id(), id(1));
  EXPECT_EQ(organization.invitation_code(), "");
  EXPECT_EQ(Accept(1, code(1), "accept-by-code-1")->api_key().secret(), accepted->api_key().secret());
  auto used = Get(id(1));
  EXPECT_EQ(used->state(), v1::RegisterInvitation::ACCEPTED);
  EXPECT_EQ(used->organization_id(), organization.id());
  EXPECT_EQ(used->actions_size(), 0);
  EXPECT_EQ(Accept(1, code(1)).error().code, ErrorCode::kAlreadyExists) << "as without a code";
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'invitation.accepted'"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM task WHERE kind = 'expire_register_invitation'"), 3);

  // What the registration says itself counts.
  auto own = RegisterAs(2, "3422", code(2));
  ASSERT_TRUE(own);
  EXPECT_EQ(own->organization().industry_code(), "3422");
  EXPECT_EQ(own->organization().external_id(), "erp-2");

  // Without the code it registers too, and the invitation has nothing left to invite to.
  auto without = RegisterAs(3, "3422");
  ASSERT_TRUE(without);
  EXPECT_EQ(without->organization().invitation_id(), "");
  auto closed = Get(id(3));
  EXPECT_EQ(closed->state(), v1::RegisterInvitation::WITHDRAWN);
  EXPECT_EQ(closed->organization_id(), without->organization().id());
  EXPECT_NE(closed->state_reason().find("without the code"), std::string::npos);

  // Codes were loaded meanwhile, and the register's own is not among them: the registration names another.
  ASSERT_TRUE(Load("code,name_zh\n342,金属加工机械制造\n3422,金属成形机床制造\n"));
  EXPECT_EQ(Accept(4, code(4)).error().code, ErrorCode::kUnknownIndustryCode);
  EXPECT_TRUE(RegisterAs(4, "3422", code(4)));
  std::string dump = Dump();
  for (int number = 1; number <= 4; ++number) {
    EXPECT_EQ(dump.find(code(number)), dump.npos);
    EXPECT_EQ(dump.find(crypto::Hex(code(number))), dump.npos);
  }
}

TEST_F(RegisterTest, AnInvitationIsForItsEnterpriseAlone) {
  auto made = Invite(kHeader + Row(1) + Row(2));
  ASSERT_TRUE(made);
  auto update = [&](const v1::Organization& organization, int number) {
    v1::UpdateOrganizationRequest request;
    request.set_id(organization.id());
    *request.mutable_organization() = Registration(number).organization();
    CallContext context = Caller(IdOrNil(organization.id()), {"admin"});
    context.if_match = "*";
    return instance_->Call<v1::Organization>("UpdateOrganization", std::move(context), std::move(request));
  };
  // Who registered by invitation stays who was invited.
  auto invited = Accept(1, made->invitations(0).code());
  ASSERT_TRUE(invited);
  EXPECT_EQ(update(invited->organization(), 8).error().code, ErrorCode::kImmutableField);
  // Who takes an invited enterprise's uscc for a while takes nothing else from it, not even its external_id.
  auto stranger = RegisterAs(7, "3422");
  ASSERT_TRUE(stranger);
  ASSERT_TRUE(update(stranger->organization(), 2));
  EXPECT_EQ(Accept(2, made->invitations(1).code()).error().code, ErrorCode::kAlreadyExists);
  v1::CreateOrganizationRequest squatter;
  *squatter.mutable_organization() = Registration(6).organization();
  squatter.mutable_organization()->set_external_id("park-2");
  ASSERT_TRUE(instance_->Call<v1::CreateOrganizationResponse>("CreateOrganization", Nobody(), squatter));
  ASSERT_TRUE(update(stranger->organization(), 7));
  auto late = Accept(2, made->invitations(1).code());
  ASSERT_TRUE(late) << Places(late.error());
  EXPECT_EQ(late->organization().invitation_id(), made->invitations(1).id());
  EXPECT_EQ(late->organization().external_id(), "");
}

TEST_F(RegisterTest, OneOfTwoWithTheSameCodeWins) {
  // Two processes of the service: no lock but the database's is common to them.
  Instance other(url_);
  for (int number = 1; number <= 5; ++number) {
    auto made = Invite(kHeader + Row(number));
    ASSERT_TRUE(made);
    std::string code = made->invitations(0).code();
    std::vector<Result<v1::CreateOrganizationResponse>> answers(2, Fail(ErrorCode::kInternal));
    v1::CreateOrganizationRequest request = Registration(number);
    request.mutable_organization()->set_invitation_code(code);
    std::thread second(
        [&] { answers[1] = other.Call<v1::CreateOrganizationResponse>("CreateOrganization", Nobody(), request); });
    answers[0] = instance_->Call<v1::CreateOrganizationResponse>("CreateOrganization", Nobody(), request);
    second.join();
    ASSERT_NE(answers[0].has_value(), answers[1].has_value());
    const auto& lost = answers[0] ? answers[1] : answers[0];
    EXPECT_EQ(lost.error().code, ErrorCode::kAlreadyExists) << Name(lost.error().code) << lost.error().cause;
    EXPECT_EQ(Get(made->invitations(0).id())->state(), v1::RegisterInvitation::ACCEPTED);
  }
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'invitation.accepted'"), 5);
}

TEST_F(RegisterTest, TwoOfTheSameFileInviteOnce) {
  Instance other(url_);
  std::string csv = kHeader + Row(1) + Row(2);
  Result<v1::ImportRegisterInvitationsResponse> theirs = Fail(ErrorCode::kInternal);
  v1::ImportRegisterInvitationsRequest request;
  request.mutable_file()->set_content_type("text/csv");
  request.mutable_file()->set_data(csv);
  std::thread second([&] {
    theirs =
        other.Call<v1::ImportRegisterInvitationsResponse>("Register.ImportRegisterInvitations", Operator(), request);
  });
  auto ours = Invite(csv);
  second.join();
  ASSERT_TRUE(ours && theirs);
  EXPECT_EQ(ours->invited() + theirs->invited(), 2);
  EXPECT_EQ(ours->skipped() + theirs->skipped(), 2);
  EXPECT_EQ(Count("SELECT count(*) FROM register_invitation"), 2);
}

TEST_F(RegisterTest, AnInvitationExpires) {
  instance_.reset();
  postgres::Migrator migrator(url_);
  for (const char* name : kOthers) EXPECT_TRUE(migrator.Apply(name, {}));
  instance_ = std::make_unique<Instance>(url_, true, "operator-secret-0123456789", true);
  auto made = Invite(kHeader + Row(1));
  ASSERT_TRUE(made);
  const v1::RegisterInvitation& invitation = made->invitations(0);
  v1::AdvanceClockRequest advance;
  advance.mutable_to_time()->set_seconds(invitation.create_time().seconds() + 31 * 86400);
  auto moved = instance_->Call<v1::AdvanceClockResponse>("AdvanceClock", Operator(), advance);
  ASSERT_TRUE(moved) << moved.error().cause;
  EXPECT_EQ(moved->fired(), 1);
  EXPECT_EQ(Get(invitation.id())->state(), v1::RegisterInvitation::EXPIRED);
  EXPECT_EQ(Accept(1, invitation.code()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'invitation.expired'"), 1);
  auto anew = Invite(kHeader + Row(1));
  ASSERT_TRUE(anew);
  EXPECT_NE(anew->invitations(0).code(), invitation.code());
  EXPECT_TRUE(Accept(1, anew->invitations(0).code()));
}

TEST_F(RegisterTest, OnlyTheOperatorSeesTheRegister) {
  auto made = Invite(kHeader + Row(1));
  ASSERT_TRUE(made);
  ASSERT_TRUE(Load(kMachines));
  std::string id = made->invitations(0).id();
  Uuid own = IdOrNil(Accept(1, made->invitations(0).code())->organization().id());
  EXPECT_EQ(Get(id, Caller(own, {"admin", "buyer", "provider"})).error().code, ErrorCode::kInsufficientScope);
  EXPECT_EQ(Get(id, Nobody()).error().code, ErrorCode::kUnauthenticated);
  EXPECT_EQ(Get(FormatId("rgi", Uuid::New())).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Invite(kHeader + Row(2), false, Caller(own, {"admin", "buyer"})).error().code,
            ErrorCode::kInsufficientScope);
  // The rows themselves: as the reader, asking as others, with no condition at all.
  auto visible = [&](const Uuid& asking, const std::string& roles) {
    int64_t count = -1;
    EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
      tx.ExecuteText("SET ROLE identity_reader; SELECT identity.ask('" + asking.Hex() + "', '" + roles + "')");
      count = tx.ExecuteText(
                    "SELECT (SELECT count(*) FROM register_invitation) * 10 + "
                    "(SELECT count(*) FROM industry_code)")[0]
                  .Int(0);
      tx.ExecuteText("RESET ROLE");
    }));
    return count;
  };
  EXPECT_EQ(visible(own, "admin,buyer,provider"), 3) << "a standard is everybody's, the register is not";
  EXPECT_EQ(visible(Uuid::New(), "regulator"), 3);
  EXPECT_EQ(visible(Uuid::FromHex(kOperatorHex), "operator"), 13);
  EXPECT_EQ(visible(Uuid(), "service"), 13);
}

TEST_F(RegisterTest, TakesTheLargestFile) {
  std::string csv = kHeader;
  for (size_t i = 1; i <= kRegisterRows; ++i) csv += Row(static_cast<int>(i));
  auto began = std::chrono::steady_clock::now();
  auto made = Invite(csv);
  ASSERT_TRUE(made) << Name(made.error().code) << made.error().cause;
  auto again = Invite(csv);
  ASSERT_TRUE(again) << Name(again.error().code) << again.error().cause;
  RecordProperty("milliseconds",
                 static_cast<int>((std::chrono::steady_clock::now() - began) / std::chrono::milliseconds(1)));
  EXPECT_EQ(made->invited(), static_cast<int>(kRegisterRows));
  EXPECT_EQ(again->skipped(), static_cast<int>(kRegisterRows));
  EXPECT_EQ(Invite(csv + Row(static_cast<int>(kRegisterRows) + 1)).error().code, ErrorCode::kTooLong);
}

}  // namespace
}  // namespace millrace::identity
