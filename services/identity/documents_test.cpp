// SPDX-License-Identifier: Apache-2.0
// What organizations prove themselves with.
#include <filesystem>

#include "services/identity/identity_test.h"
#include "tests/support/eventually.h"

namespace millrace::identity {
namespace {

const std::string kPdf = "%PDF-1.7\nlicence", kPng = "\x89PNG\r\n\x1A\nlicence";

class DocumentsTest : public IdentityTest {
 protected:
  static CallContext Admin(const std::string& id) { return Caller(IdOrNil(id), {"admin", "provider", "buyer"}); }
  Result<v1::Document> Send(CallContext context, std::string bytes,
                            v1::Document::Kind kind = v1::Document::BUSINESS_LICENSE, std::string type = {},
                            std::string name = "营业执照.pdf") {
    v1::CreateDocumentRequest request;
    request.set_kind(kind);
    request.set_file_name(std::move(name));
    request.mutable_file()->set_content_type(std::move(type));
    request.mutable_file()->set_data(std::move(bytes));
    return instance_->Call<v1::Document>("Documents.CreateDocument", std::move(context), std::move(request));
  }
  Result<v1::Document> Get(CallContext context, const std::string& id) {
    v1::GetDocumentRequest request;
    request.set_id(id);
    return instance_->Call<v1::Document>("Documents.GetDocument", std::move(context), std::move(request));
  }
  Result<google::api::HttpBody> Content(CallContext context, const std::string& id) {
    v1::GetDocumentContentRequest request;
    request.set_id(id);
    return instance_->Call<google::api::HttpBody>("Documents.GetDocumentContent", std::move(context),
                                                  std::move(request));
  }
  Result<v1::ListDocumentsResponse> List(CallContext context, const std::string& organization = {}, int page = 0,
                                         const std::string& token = {}) {
    v1::ListDocumentsRequest request;
    request.set_organization_id(organization);
    request.set_page_size(page);
    request.set_page_token(token);
    return instance_->Call<v1::ListDocumentsResponse>("Documents.ListDocuments", std::move(context),
                                                      std::move(request));
  }
  Result<v1::DeleteDocumentResponse> Delete(CallContext context, const std::string& id, std::string if_match = "*") {
    v1::DeleteDocumentRequest request;
    request.set_id(id);
    context.if_match = std::move(if_match);
    return instance_->Call<v1::DeleteDocumentResponse>("Documents.DeleteDocument", std::move(context),
                                                       std::move(request));
  }
  size_t Files() {
    size_t files = 0;
    std::filesystem::path folder = instance_->folder() + "/documents";
    if (!std::filesystem::exists(folder)) return 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) files += entry.is_regular_file();
    return files;
  }
  // Lets the loop run until it is so.
  template <class F>
  bool Eventually(F so) {
    return test::Eventually([&] {
      Authenticate("nobody");
      return so();
    });
  }
};

TEST_F(DocumentsTest, ADocumentIsKeptOnceUnderItsKey) {
  std::string id = Register(1).organization().id();
  CallContext first = Admin(id), again = Admin(id), other = Admin(id);
  again.idempotency_key = other.idempotency_key = first.idempotency_key;
  auto sent = Send(first, kPdf);
  ASSERT_TRUE(sent) << Name(sent.error().code) << sent.error().cause;
  EXPECT_TRUE(sent->id().starts_with("doc_"));
  EXPECT_EQ(sent->organization_id(), id);
  EXPECT_EQ(sent->kind(), v1::Document::BUSINESS_LICENSE);
  EXPECT_EQ(sent->content_type(), "application/pdf");
  EXPECT_EQ(sent->file_name(), "营业执照.pdf");
  EXPECT_EQ(sent->size(), static_cast<int64_t>(kPdf.size()));
  EXPECT_EQ(sent->sha256(), crypto::Hex(crypto::Sha256(kPdf)));
  EXPECT_EQ(sent->etag(), "1");
  auto replay = Send(again, kPdf);
  ASSERT_TRUE(replay);
  EXPECT_TRUE(again.reply->replayed);
  EXPECT_EQ(replay->SerializeAsString(), sent->SerializeAsString());
  EXPECT_EQ(Send(other, kPng).error().code, ErrorCode::kIdempotencyKeyReused);
  EXPECT_EQ(Files(), 1u) << "what was refused left no bytes";
  EXPECT_EQ(Count("SELECT count(*) FROM document"), 1);
  CallContext check = Admin(id);
  check.validate_only = true;
  ASSERT_TRUE(Send(check, kPng));
  EXPECT_EQ(Files(), 1u);
  EXPECT_EQ(Count("SELECT count(*) FROM document"), 1);
  EXPECT_EQ(Get(Admin(id), sent->id())->SerializeAsString(), sent->SerializeAsString());
  auto content = Content(Admin(id), sent->id());
  ASSERT_TRUE(content) << Name(content.error().code) << content.error().cause;
  EXPECT_EQ(content->data(), kPdf);
  EXPECT_EQ(content->content_type(), "application/pdf");
}

TEST_F(DocumentsTest, WhoVerifiesWhatItReadVerifiesThePapersToo) {
  std::string id = Register(1).organization().id();
  auto licence = Send(Admin(id), kPdf);
  ASSERT_TRUE(licence);
  auto verify = [&](std::string if_match) {
    CallContext context = Operator();
    context.if_match = std::move(if_match);
    return Do("VerifyOrganization", id, {}, context);
  };
  EXPECT_EQ(verify("1").error().code, ErrorCode::kEtagMismatch);
  ASSERT_TRUE(Delete(Admin(id), licence->id()));
  EXPECT_EQ(verify("2").error().code, ErrorCode::kEtagMismatch);
  ASSERT_TRUE(verify("3"));
  ASSERT_TRUE(Send(Admin(id), kPdf));
  EXPECT_EQ(Count("SELECT version FROM organization WHERE uscc IS NOT NULL"), 4) << "decided: papers change it no more";
}

TEST_F(DocumentsTest, RefusesWhatIsNoDocument) {
  std::string id = Register(1).organization().id();
  auto refused = [&](std::string bytes, std::string type, std::string name = "a.pdf") {
    auto sent = Send(Admin(id), std::move(bytes), v1::Document::OTHER, std::move(type), std::move(name));
    return sent ? Error() : sent.error();
  };
  Error html = refused("<html><script>", "application/pdf");
  EXPECT_EQ(html.code, ErrorCode::kUnsupportedMediaType);
  EXPECT_EQ(html.violations.at(0).pointer, "#/file");
  EXPECT_EQ(refused(kPng, "image/jpeg").params.at("accept"), "image/png");
  EXPECT_EQ(refused(kPdf, "", "../a.pdf").violations.at(0).pointer, "#/file_name");
  EXPECT_EQ(refused(kPdf, "", "").code, ErrorCode::kRequired);
  EXPECT_EQ(refused(kPdf + std::string(5 * 1024 * 1024, 'x'), "").code, ErrorCode::kPayloadTooLarge);
  EXPECT_EQ(Send(Admin(id), kPdf, v1::Document::KIND_UNSPECIFIED).error().violations.at(0).pointer, "#/kind");
  EXPECT_EQ(Files(), 0u);
  std::string most = kPdf + std::string(5 * 1024 * 1024 - kPdf.size(), 'x');
  auto sent = Send(Admin(id), most);
  ASSERT_TRUE(sent);
  EXPECT_EQ(Content(Admin(id), sent->id())->data(), most);
  for (int i = 1; i < 20; ++i) ASSERT_TRUE(Send(Admin(id), kPdf + std::to_string(i))) << i;
  auto one_more = Send(Admin(id), kPdf);
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error().code, ErrorCode::kTooLong);
  EXPECT_EQ(one_more.error().params.at("max"), "20");
  EXPECT_EQ(Files(), 20u);
  ASSERT_TRUE(RejectByTwoPersons(id, "why"));
  EXPECT_EQ(Send(Admin(id), kPng).error().code, ErrorCode::kStateConflict);
}

TEST_F(DocumentsTest, OnlyItsAdminAndTheOperatorSeeIt) {
  std::string mine = Register(1).organization().id(), theirs = Register(2).organization().id();
  std::string id = Send(Admin(mine), kPdf)->id(), random = FormatId("doc", Uuid::New());
  ASSERT_TRUE(Send(Admin(theirs), kPng));
  for (CallContext stranger : {Admin(theirs), Caller(Uuid::New(), {"admin", "regulator"})}) {
    auto read = Get(stranger, id), nothing = Get(stranger, random);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::kNotFound);
    EXPECT_EQ(read.error().params, nothing.error().params);
    EXPECT_EQ(Content(stranger, id).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(Content(stranger, random).error().code, ErrorCode::kNotFound);
    stranger.idempotency_key = "delete-one";
    EXPECT_EQ(Delete(stranger, id).error().code, ErrorCode::kNotFound);
    stranger.idempotency_key = "delete-other";
    EXPECT_EQ(Delete(stranger, random).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(List(stranger, mine).error().code, ErrorCode::kNotFound);
  }
  for (const char* role : {"provider", "buyer", "service"}) {
    EXPECT_EQ(Get(Caller(IdOrNil(mine), {role}), id).error().code, ErrorCode::kInsufficientScope) << role;
    EXPECT_EQ(Content(Caller(IdOrNil(mine), {role}), id).error().code, ErrorCode::kInsufficientScope) << role;
    EXPECT_EQ(List(Caller(IdOrNil(mine), {role})).error().code, ErrorCode::kInsufficientScope) << role;
  }
  EXPECT_TRUE(Get(Operator(), id));
  EXPECT_EQ(Content(Operator(), id)->data(), kPdf);
  EXPECT_EQ(Delete(Operator(), id).error().code, ErrorCode::kNotFound) << "it is not the operator's to remove";
  EXPECT_EQ(List(Admin(mine))->data_size(), 1);
  EXPECT_EQ(List(Admin(mine), mine)->data_size(), 1);
  EXPECT_EQ(List(Operator(), mine)->data_size(), 1);
  auto page = List(Operator(), "", 1);
  ASSERT_EQ(page->data_size(), 1);
  auto rest = List(Operator(), "", 1, page->next_page_token());
  ASSERT_EQ(rest->data_size(), 1);
  EXPECT_EQ(rest->data(0).id(), id) << "newest first";
  EXPECT_EQ(rest->next_page_token(), "");
  EXPECT_EQ(List(Operator(), mine, 1, page->next_page_token()).error().code, ErrorCode::kInvalidPageToken);

  // The rows themselves: as the reader, with no condition at all.
  auto visible = [&](const Uuid& asking, const std::string& roles) {
    int64_t count = -1;
    EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
      tx.ExecuteText("SET ROLE identity_reader; SELECT identity.ask('" + asking.Hex() + "', '" + roles + "')");
      count = tx.ExecuteText("SELECT count(*) FROM document")[0].Int(0);
      tx.ExecuteText("RESET ROLE");
    }));
    return count;
  };
  EXPECT_EQ(visible(IdOrNil(mine), "admin,buyer"), 1);
  EXPECT_EQ(visible(IdOrNil(mine), "buyer,provider"), 0);
  EXPECT_EQ(visible(Uuid::New(), "admin"), 0);
  EXPECT_EQ(visible(IdOrNil(mine), "service"), 0);
  EXPECT_EQ(visible(Uuid::New(), "regulator"), 0);
  EXPECT_EQ(visible(Uuid::New(), "operator"), 2);
}

TEST_F(DocumentsTest, EveryLookAtTheContentIsAnAct) {
  std::string id = Register(1).organization().id(), document = Send(Admin(id), kPdf)->id();
  auto acts = [&] { return Count("SELECT count(*) FROM event WHERE type = 'act.performed'"); };
  EXPECT_EQ(acts(), 1) << "the sending";
  ASSERT_TRUE(Get(Operator(), document));
  ASSERT_TRUE(List(Operator(), id));
  EXPECT_EQ(acts(), 1);
  CallContext same = Operator("look-at-it"), again = Operator("look-at-it");
  ASSERT_TRUE(Content(same, document));
  ASSERT_TRUE(Content(again, document));
  EXPECT_EQ(acts(), 3) << "a key makes no look unseen";
  ASSERT_TRUE(Content(Admin(id), document));
  EXPECT_EQ(acts(), 4);
  EXPECT_FALSE(Content(Operator(), FormatId("doc", Uuid::New())));
  EXPECT_EQ(acts(), 4);
  v1::ListAuditLogResponse log;
  ASSERT_TRUE(Eventually([&] {
    log = *instance_->Call<v1::ListAuditLogResponse>("Audit.ListAuditLog", Operator(), v1::ListAuditLogRequest());
    return log.data_size() == 4;
  }));
  EXPECT_EQ(log.data(1).method(), "millrace.identity.v1.Documents.GetDocumentContent");
  EXPECT_EQ(log.data(1).subject(), document);
  EXPECT_EQ(log.data(1).organization_id(), FormatId("org", Uuid::FromHex(kOperatorHex)));
  EXPECT_EQ(log.data(3).method(), "millrace.identity.v1.Documents.CreateDocument");
  EXPECT_EQ(log.data(3).request().find("JVBER"), std::string::npos) << "no bytes in the log: " << log.data(3).request();
  EXPECT_NE(log.data(3).request().find("BUSINESS_LICENSE"), std::string::npos);
}

TEST_F(DocumentsTest, WhatIsRemovedIsGoneWithItsBytes) {
  std::string mine = Register(1).organization().id(), theirs = Register(2).organization().id();
  std::string id = Send(Admin(mine), kPdf)->id(), same = Send(Admin(theirs), kPdf)->id();
  std::string second = Send(Admin(mine), kPng)->id();
  EXPECT_EQ(Files(), 2u) << "the same content is one file";
  EXPECT_EQ(Delete(Admin(mine), id, "").error().code, ErrorCode::kEtagRequired);
  EXPECT_EQ(Delete(Admin(mine), id, "2").error().code, ErrorCode::kEtagMismatch);
  CallContext first = Admin(mine), again = Admin(mine);
  again.idempotency_key = first.idempotency_key;
  ASSERT_TRUE(Delete(first, id, "1"));
  EXPECT_TRUE(Delete(again, id, "1"));
  EXPECT_EQ(Delete(Admin(mine), id).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Get(Admin(mine), id).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(Eventually([&] { return Count("SELECT count(*) FROM task WHERE kind = 'forget_document'") == 0; }));
  EXPECT_EQ(Content(Admin(theirs), same)->data(), kPdf) << "another's document has the same content";
  ASSERT_TRUE(Delete(Admin(mine), second));
  ASSERT_TRUE(Eventually([&] { return Files() == 1; }));
  ASSERT_TRUE(Send(Admin(mine), kPng)) << "and may come again";
  EXPECT_EQ(Files(), 2u);
  ASSERT_TRUE(Do("VerifyOrganization", theirs));
  auto late = Delete(Admin(theirs), same);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kStateConflict);
  EXPECT_EQ(late.error().params.at("state"), "VERIFIED");
  EXPECT_TRUE(Send(Admin(theirs), kPng, v1::Document::CERTIFICATE)) << "but more may come";
}

TEST_F(DocumentsTest, VerificationWaitsForWhatTheInstanceAsksFor) {
  instance_.reset();
  instance_ = std::make_unique<Instance>(url_, true, "operator-secret-0123456789", false,
                                         "BUSINESS_LICENSE,ID_OF_LEGAL_REPRESENTATIVE");
  std::string id = Register(1).organization().id();
  auto refused = Do("VerifyOrganization", id);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kDocumentsMissing);
  EXPECT_EQ(refused.error().params.at("missing"), "BUSINESS_LICENSE, ID_OF_LEGAL_REPRESENTATIVE");
  std::string other = Register(2).organization().id();
  ASSERT_TRUE(Send(Admin(other), kPdf, v1::Document::ID_OF_LEGAL_REPRESENTATIVE));
  ASSERT_TRUE(Send(Admin(id), kPdf));
  EXPECT_EQ(Do("VerifyOrganization", id).error().params.at("missing"), "ID_OF_LEGAL_REPRESENTATIVE");
  std::string sent = Send(Admin(id), kPng, v1::Document::ID_OF_LEGAL_REPRESENTATIVE)->id();
  ASSERT_TRUE(Delete(Admin(id), sent));
  EXPECT_EQ(Do("VerifyOrganization", id).error().code, ErrorCode::kDocumentsMissing);
  ASSERT_TRUE(Send(Admin(id), kPng, v1::Document::ID_OF_LEGAL_REPRESENTATIVE));
  auto verified = Do("VerifyOrganization", id);
  ASSERT_TRUE(verified) << Name(verified.error().code);
  EXPECT_EQ(verified->state(), v1::Organization::VERIFIED);
  EXPECT_EQ(Do("VerifyOrganization", id).error().code, ErrorCode::kStateConflict);
  ASSERT_TRUE(RejectByTwoPersons(other, "why")) << "a rejection needs no documents";
  EXPECT_EQ(Do("VerifyOrganization", FormatId("org", Uuid::New())).error().code, ErrorCode::kNotFound);
}

// The setting names kinds as the contract does.
TEST(VerificationDocuments, EveryKindIsASetting) {
  const auto* kinds = v1::Document::Kind_descriptor();
  for (int i = 1; i < kinds->value_count(); ++i) {
    std::vector<std::string> faults;
    runtime::Settings::Load({"--verification-documents=" + kinds->value(i)->name()}, &faults);
    EXPECT_TRUE(faults.empty()) << kinds->value(i)->name();
  }
}

}  // namespace
}  // namespace millrace::identity
