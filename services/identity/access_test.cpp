// SPDX-License-Identifier: Apache-2.0
// Keys, tokens, members and the audit log.
#include "services/identity/app/assertion.h"
#include "services/identity/identity_test.h"
#include "tests/support/eventually.h"
#include "tests/support/signing_key.h"

namespace millrace::identity {
namespace {

TEST_F(IdentityTest, KeepsNoSecret) {
  std::string secret = Register(1).api_key().secret();
  v1::CreateApiKeyRequest request;
  request.mutable_api_key()->set_display_name("line 3");
  auto made = instance_->Call<v1::ApiKey>("CreateApiKey", Operator(), request);
  ASSERT_TRUE(made) << Name(made.error().code);
  std::string dump = Dump();
  EXPECT_NE(dump.find(crypto::Hex(crypto::Sha256(secret))), dump.npos)
      << "the dump does not look where secrets are kept";
  for (const std::string& text : {secret, made->secret(), std::string("operator-secret-0123456789")}) {
    EXPECT_EQ(dump.find(text), dump.npos);
    EXPECT_EQ(dump.find(crypto::Hex(text)), dump.npos);
    EXPECT_EQ(dump.find(crypto::Hex(text.substr(0, 20))), dump.npos);
  }
}

TEST_F(IdentityTest, AuthenticatesUntilRevoked) {
  auto registered = Register(1);
  std::string secret = registered.api_key().secret(), id = registered.organization().id();
  auto pending = Authenticate(secret);
  ASSERT_TRUE(pending);
  EXPECT_EQ(pending->organization_id(), id);
  EXPECT_EQ(pending->api_key_id(), registered.api_key().id());
  EXPECT_FALSE(pending->verified());
  ASSERT_EQ(pending->roles_size(), 3);
  EXPECT_EQ(pending->roles(0), "admin");
  ASSERT_TRUE(Do("VerifyOrganization", id));
  EXPECT_TRUE(Authenticate(secret)->verified());
  ASSERT_TRUE(Do("SuspendOrganization", id, "why"));
  EXPECT_FALSE(Authenticate(secret)->verified());

  for (const std::string& bad : {std::string(), std::string("sk_test_"), secret + "x", secret.substr(1)}) {
    EXPECT_EQ(Authenticate(bad).error().code, ErrorCode::kUnauthenticated);
  }
  v1::RevokeApiKeyRequest revoke;
  revoke.set_id(registered.api_key().id());
  CallContext owner = Caller(IdOrNil(id), {"admin"}), stranger = Caller(Uuid::New(), {"admin"});
  EXPECT_EQ(instance_->Call<v1::ApiKey>("RevokeApiKey", owner, revoke).error().code, ErrorCode::kEtagRequired);
  owner.if_match = "99";
  EXPECT_EQ(instance_->Call<v1::ApiKey>("RevokeApiKey", owner, revoke).error().code, ErrorCode::kEtagMismatch);
  owner.if_match = stranger.if_match = "*";
  auto foreign = instance_->Call<v1::ApiKey>("RevokeApiKey", stranger, revoke);
  EXPECT_EQ(foreign.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(Authenticate(secret));
  auto revoked = instance_->Call<v1::ApiKey>("RevokeApiKey", owner, revoke);
  ASSERT_TRUE(revoked);
  EXPECT_EQ(Authenticate(secret).error().code, ErrorCode::kUnauthenticated);
  owner.idempotency_key = "another-key";
  auto twice = instance_->Call<v1::ApiKey>("RevokeApiKey", owner, revoke);
  ASSERT_TRUE(twice);
  EXPECT_EQ(twice->revoke_time().seconds(), revoked->revoke_time().seconds());
}

TEST_F(IdentityTest, MakesKeysOfNoMoreThanTheCallersRoles) {
  std::string id = Register(1).organization().id();
  auto make = [&](CallContext context, std::vector<std::string> roles) {
    v1::CreateApiKeyRequest request;
    request.mutable_api_key()->set_display_name("a key");
    for (std::string& role : roles) request.mutable_api_key()->add_roles(std::move(role));
    return instance_->Call<v1::ApiKey>("CreateApiKey", std::move(context), std::move(request));
  };
  auto buyer = make(Caller(IdOrNil(id), {"admin", "provider", "buyer"}, "make-a-key"), {"buyer"});
  ASSERT_TRUE(buyer);
  auto again = make(Caller(IdOrNil(id), {"admin", "provider", "buyer"}, "make-a-key"), {"buyer"});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->secret(), buyer->secret());
  EXPECT_EQ(Authenticate(buyer->secret())->roles_size(), 1);
  EXPECT_EQ(make(Caller(IdOrNil(id), {"admin", "provider", "buyer"}), {"operator"}).error().code,
            ErrorCode::kInsufficientScope);
  EXPECT_EQ(make(Caller(IdOrNil(id), {"admin", "buyer"}), {"provider"}).error().code, ErrorCode::kInsufficientScope);
  EXPECT_EQ(make(Caller(IdOrNil(id), {"provider", "buyer"}), {"buyer"}).error().code, ErrorCode::kInsufficientScope);
  EXPECT_EQ(make(Caller(IdOrNil(id), {"operator"}), {}).error().code, ErrorCode::kInsufficientScope);
  auto given = make(Caller(IdOrNil(id), {"admin", "provider", "buyer"}), {});
  ASSERT_TRUE(given);
  EXPECT_EQ(given->roles_size(), 2) << "admin is given only where it is asked for";

  v1::ListApiKeysRequest list;
  list.set_page_size(2);
  auto page = instance_->Call<v1::ListApiKeysResponse>("ListApiKeys", Caller(IdOrNil(id), {"admin"}), list);
  ASSERT_TRUE(page);
  ASSERT_EQ(page->data_size(), 2);
  EXPECT_EQ(page->data(0).secret(), "");
  list.set_page_token(page->next_page_token());
  page = instance_->Call<v1::ListApiKeysResponse>("ListApiKeys", Caller(IdOrNil(id), {"admin"}), list);
  ASSERT_TRUE(page);
  EXPECT_EQ(page->data_size(), 1);
  EXPECT_EQ(page->next_page_token(), "");
  list.set_page_token("nonsense");
  auto refused = instance_->Call<v1::ListApiKeysResponse>("ListApiKeys", Caller(IdOrNil(id), {"admin"}), list);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidPageToken);
}

TEST_F(IdentityTest, KeysHaveNoMoreScopesThanTheirMaker) {
  auto registered = Register(1);
  Uuid id = IdOrNil(registered.organization().id());
  auto make = [&](std::set<std::string> own, std::vector<std::string> scopes) {
    v1::CreateApiKeyRequest request;
    request.mutable_api_key()->set_display_name("scoped");
    for (std::string& scope : scopes) request.mutable_api_key()->add_scopes(std::move(scope));
    CallContext context = Caller(id, {"admin", "buyer", "provider"});
    context.scopes = std::move(own);
    return instance_->Call<v1::ApiKey>("CreateApiKey", std::move(context), std::move(request));
  };
  auto narrow = make({}, {"organizations:read", "api_keys:*"});
  ASSERT_TRUE(narrow) << Name(narrow.error().code);
  auto caller = Authenticate(narrow->secret());
  ASSERT_TRUE(caller);
  ASSERT_EQ(caller->scopes_size(), 2);
  EXPECT_EQ(caller->scopes(0), "api_keys:*");
  auto unknown = make({}, {"organizations:read", "organisations:read", "*:write"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().violations.size(), 2u);
  EXPECT_EQ(unknown.error().violations[0].pointer, "#/api_key/scopes/1");
  EXPECT_EQ(unknown.error().violations[0].code, ErrorCode::kUnknownScope);
  EXPECT_EQ(make({"*:read"}, {"sites:write"}).error().code, ErrorCode::kInsufficientScope);
  EXPECT_EQ(make({"sites:write"}, {"*:*"}).error().code, ErrorCode::kInsufficientScope);
  auto inherits = make({"api_keys:write"}, {});
  ASSERT_TRUE(inherits);
  ASSERT_EQ(inherits->scopes_size(), 1) << "no scopes would be all scopes";
  EXPECT_EQ(inherits->scopes(0), "api_keys:write");
}

TEST_F(IdentityTest, KeysExpireAndShowWhenTheyWereUsed) {
  Uuid id = IdOrNil(Register(1).organization().id());
  v1::CreateApiKeyRequest request;
  request.mutable_api_key()->set_display_name("short");
  request.mutable_api_key()->mutable_expire_time()->set_seconds(1);
  auto past = instance_->Call<v1::ApiKey>("CreateApiKey", Caller(id, {"admin", "buyer", "provider"}), request);
  EXPECT_EQ(past.error().code, ErrorCode::kWindowInPast);
  request.mutable_api_key()->mutable_expire_time()->set_seconds(4'000'000'000);
  auto made = instance_->Call<v1::ApiKey>("CreateApiKey", Caller(id, {"admin", "buyer", "provider"}), request);
  ASSERT_TRUE(made) << Name(made.error().code);
  EXPECT_EQ(made->expire_time().seconds(), 4'000'000'000);
  ASSERT_TRUE(Authenticate(made->secret()));
  v1::GetApiKeyRequest get;
  get.set_id(made->id());
  auto read = [&](const Uuid& asking) {
    return instance_->Call<v1::ApiKey>("GetApiKey", Caller(asking, {"admin"}), get);
  };
  EXPECT_TRUE(test::Eventually([&] { return read(id)->has_last_use_time(); }));
  EXPECT_EQ(read(id)->secret(), "");
  EXPECT_EQ(read(Uuid::New()).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
    tx.ExecuteText("UPDATE api_key SET expire_time = clock_timestamp() WHERE display_name = 'short'");
  }));
  EXPECT_EQ(Authenticate(made->secret()).error().code, ErrorCode::kUnauthenticated);
}

TEST_F(IdentityTest, RotatesAKeyWithAnOverlap) {
  auto registered = Register(1);
  Uuid id = IdOrNil(registered.organization().id());
  std::string first = registered.api_key().secret();
  auto admin = [&](std::string key = {}) { return Caller(id, {"admin", "buyer", "provider"}, std::move(key)); };
  auto rotate = [&](int overlap, CallContext context) {
    v1::RotateApiKeyRequest request;
    request.set_id(registered.api_key().id());
    if (overlap >= 0) request.set_overlap_seconds(overlap);
    return instance_->Call<v1::ApiKey>("RotateApiKey", std::move(context), std::move(request));
  };
  EXPECT_EQ(rotate(86401, admin()).error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(rotate(0, Caller(Uuid::New(), {"admin"})).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(rotate(0, Caller(id, {"buyer"})).error().code, ErrorCode::kInsufficientScope);
  EXPECT_EQ(rotate(0, Caller(id, {"admin", "buyer"})).error().code, ErrorCode::kInsufficientScope)
      << "the secret would give its reader a role more";
  CallContext scoped = admin();
  scoped.scopes = {"api_keys:write"};
  EXPECT_EQ(rotate(0, scoped).error().code, ErrorCode::kInsufficientScope);
  auto second = rotate(-1, admin("rotate-a-key"));
  ASSERT_TRUE(second) << Name(second.error().code) << second.error().cause;
  EXPECT_EQ(second->secret_version(), 2);
  EXPECT_NE(second->secret(), first);
  EXPECT_TRUE(second->has_previous_secret_expire_time());
  auto replay = rotate(-1, admin("rotate-a-key"));
  ASSERT_TRUE(replay);
  EXPECT_EQ(replay->secret(), second->secret());
  EXPECT_TRUE(Authenticate(first));
  ASSERT_TRUE(Authenticate(second->secret()));
  EXPECT_EQ(Authenticate(first)->api_key_id(), Authenticate(second->secret())->api_key_id());
  auto third = rotate(0, admin());
  ASSERT_TRUE(third);
  for (const std::string& old : {first, second->secret()})
    EXPECT_EQ(Authenticate(old).error().code, ErrorCode::kUnauthenticated);
  auto fourth = rotate(60, admin());
  ASSERT_TRUE(fourth);
  EXPECT_TRUE(Authenticate(third->secret()));
  EXPECT_EQ(Dump().find(fourth->secret()), std::string::npos);
  v1::RevokeApiKeyRequest revoke;
  revoke.set_id(registered.api_key().id());
  CallContext stale = admin();
  stale.if_match = "1";
  EXPECT_EQ(instance_->Call<v1::ApiKey>("RevokeApiKey", stale, revoke).error().code, ErrorCode::kEtagMismatch);
  CallContext any_version = admin();
  any_version.if_match = "*";
  ASSERT_TRUE(instance_->Call<v1::ApiKey>("RevokeApiKey", any_version, revoke));
  for (const std::string& any : {third->secret(), fourth->secret()})
    EXPECT_EQ(Authenticate(any).error().code, ErrorCode::kUnauthenticated);
  EXPECT_EQ(rotate(0, admin()).error().code, ErrorCode::kStateConflict);
}

v1::PublicKey PublicOf(const test::SigningKey& key, const std::string& kid) {
  v1::PublicKey out;
  out.set_kty(key.jwk().kty);
  out.set_crv(key.jwk().crv);
  out.set_x(key.jwk().x);
  out.set_y(key.jwk().y);
  out.set_n(key.jwk().n);
  out.set_e(key.jwk().e);
  out.set_kid(kid);
  return out;
}

// A claim set, with what a test changes.
std::string Claims(const std::string& client, Time now, const std::string& more = R"("jti":"j1")",
                   const std::string& audience = R"("https://mill.example")", int64_t lives = 60) {
  int64_t seconds = Micros(now) / 1'000'000;
  return R"({"iss":")" + client + R"(","sub":")" + client + R"(","aud":)" + audience + R"(,"iat":)" +
         std::to_string(seconds) + R"(,"exp":)" + std::to_string(seconds + lives) + "," + more + "}";
}

TEST(Assertions, PassOnlyAsTheyShould) {
  Time now = WallNow();
  std::string client = FormatId("key", Uuid::New());
  for (const char* algorithm : {"ES256", "RS256", "EdDSA"}) {
    test::SigningKey key(algorithm), other(algorithm);
    std::string header = std::string(R"({"typ":"JWT","kid":"k1","alg":")") + algorithm + "\"}";
    std::vector<v1::PublicKey> keys = {PublicOf(key, "k1"), PublicOf(other, "k2")};
    auto check = [&](const std::string& token) {
      return CheckAssertion(token, keys, client, {"https://mill.example", "https://mill.example/oauth2/token"}, now);
    };
    auto passed = check(key.Token(header, Claims(client, now)));
    ASSERT_TRUE(passed) << algorithm << passed.error().cause;
    EXPECT_EQ(passed->jti, "j1");
    EXPECT_TRUE(
        check(key.Token(header, Claims(client, now, R"("jti":"j")", R"(["https://mill.example/oauth2/token"])"))));
    auto refused = [&](const std::string& token, const char* why) {
      auto result = check(token);
      EXPECT_FALSE(result) << algorithm << ": " << why;
      if (!result) EXPECT_EQ(result.error().code, ErrorCode::kUnauthenticated) << why;
    };
    std::string good = Claims(client, now);
    refused(other.Token(header, good), "another key's signature");
    refused(key.Token(R"({"alg":"none","kid":"k1"})", good), "alg none");
    std::string unsigned_token =
        crypto::Base64Url(R"({"alg":"none","kid":"k1"})") + "." + crypto::Base64Url(good) + ".";
    refused(unsigned_token, "no signature");
    refused(key.Token(R"({"alg":"HS256","kid":"k1"})", good), "HS256 with a public key");
    std::string input = crypto::Base64Url(R"({"alg":"HS256","kid":"k1"})") + "." + crypto::Base64Url(good);
    refused(input + "." + crypto::Base64Url(crypto::HmacSha256(key.jwk().x + key.jwk().n, input)),
            "an HMAC by the public key");
    refused(key.Token(R"({"kid":"k1"})", good), "no alg");
    refused(key.Token(std::string(R"({"alg":")") + algorithm + "\"}", good), "no kid although there are two keys");
    refused(key.Token(std::string(R"({"kid":"k3","alg":")") + algorithm + "\"}", good), "unknown kid");
    refused(key.Token(std::string(R"({"kid":"k2","alg":")") + algorithm + "\"}", good), "the other key's kid");
    for (const char* member :
         {R"("jku":"https://x")", R"("x5u":"https://x")", R"("jwk":{})", R"("x5c":[])", R"("crit":["b64"])"})
      refused(key.Token(std::string("{") + member + R"(,"kid":"k1","alg":")" + algorithm + "\"}", good), member);
    refused(key.Token(header, Claims(client, now - std::chrono::minutes(5))), "expired");
    refused(key.Token(header, Claims(client, now - std::chrono::minutes(11), R"("jti":"j")",
                                     R"("https://mill.example")", 86400)),
            "iat too old");
    refused(key.Token(header, Claims(client, now + std::chrono::minutes(5))), "iat ahead");
    std::string ahead = std::to_string(Micros(now) / 1'000'000 + 120);
    refused(key.Token(header, Claims(client, now, R"("jti":"j","nbf":)" + ahead)), "nbf ahead");
    refused(key.Token(header, Claims(client, now, R"("jti":"j","nbf":"soon")")), "nbf is no number");
    refused(key.Token(header, Claims(client, now, R"("x":1)")), "no jti");
    refused(key.Token(header, Claims(client, now, R"("jti":"j","jti":"k")")), "a claim twice");
    refused(key.Token(header, Claims(client, now, R"("jti":"j")", R"("https://other.example")")), "another audience");
    refused(
        key.Token(header, Claims(client, now, R"("jti":"j")", R"(["https://mill.example","https://other.example"])")),
        "a second audience");
    refused(key.Token(header, Claims(FormatId("key", Uuid::New()), now)), "another client");
    refused(key.Token(header, R"({"jti":"j"})"), "no claims");
    refused("a.b", "two parts");
    refused(key.Token(header, good) + ".x", "four parts");
    refused("", "empty");
  }
}

TEST_F(IdentityTest, IssuesTokensThatDieWithTheKey) {
  auto registered = Register(1);
  Uuid id = IdOrNil(registered.organization().id());
  test::SigningKey signer("ES256");
  v1::CreateApiKeyRequest request;
  request.mutable_api_key()->set_display_name("erp");
  request.mutable_api_key()->add_roles("buyer");
  request.mutable_api_key()->add_scopes("organizations:*");
  request.mutable_api_key()->add_scopes("sites:read");
  *request.mutable_api_key()->add_public_keys() = PublicOf(signer, "k1");
  v1::CreateApiKeyRequest bad = request;
  bad.mutable_api_key()->mutable_public_keys(0)->set_alg("RS256");
  auto make = [&](const v1::CreateApiKeyRequest& r) {
    return instance_->Call<v1::ApiKey>("CreateApiKey", Caller(id, {"admin", "buyer"}), r);
  };
  EXPECT_EQ(make(bad).error().code, ErrorCode::kInvalidFormat);
  auto key = make(request);
  ASSERT_TRUE(key) << Name(key.error().code) << key.error().cause;
  EXPECT_EQ(key->public_keys_size(), 1);
  auto issue = [&](v1::IssueTokenRequest asked) {
    asked.add_audiences("https://mill.example");
    return instance_->Call<v1::IssueTokenResponse>("IssueToken", CallContext::ForService("gateway"), std::move(asked));
  };
  v1::IssueTokenRequest by_secret;
  by_secret.set_client_id(key->id());
  by_secret.set_client_secret(key->secret());
  auto token = issue(by_secret);
  ASSERT_TRUE(token) << Name(token.error().code) << token.error().cause;
  EXPECT_TRUE(token->access_token().starts_with("at_"));
  EXPECT_EQ(token->scopes_size(), 2);
  auto caller = Authenticate(token->access_token());
  ASSERT_TRUE(caller);
  EXPECT_EQ(caller->api_key_id(), key->id());
  EXPECT_EQ(caller->scopes_size(), 2);
  EXPECT_EQ(Dump().find(crypto::Hex(token->access_token())), std::string::npos);
  by_secret.add_scopes("organizations:read");
  auto narrow = issue(by_secret);
  ASSERT_TRUE(narrow);
  EXPECT_EQ(Authenticate(narrow->access_token())->scopes(0), "organizations:read");
  by_secret.set_scopes(0, "sites:write");
  EXPECT_EQ(issue(by_secret).error().code, ErrorCode::kInsufficientScope);
  by_secret.set_scopes(0, "sitess:read");
  EXPECT_EQ(issue(by_secret).error().code, ErrorCode::kUnknownScope);
  by_secret.clear_scopes();
  v1::IssueTokenRequest wrong = by_secret;
  wrong.set_client_id(registered.api_key().id());
  EXPECT_EQ(issue(wrong).error().code, ErrorCode::kUnauthenticated) << "another client's secret";

  v1::IssueTokenRequest by_assertion;
  by_assertion.set_assertion(signer.Token(R"({"alg":"ES256","kid":"k1"})", Claims(key->id(), WallNow())));
  auto signed_token = issue(by_assertion);
  ASSERT_TRUE(signed_token) << Name(signed_token.error().code) << signed_token.error().cause;
  EXPECT_TRUE(Authenticate(signed_token->access_token()));
  EXPECT_EQ(issue(by_assertion).error().code, ErrorCode::kUnauthenticated) << "the same jti again";
  EXPECT_EQ(Authenticate(by_assertion.assertion()).error().code, ErrorCode::kUnauthenticated) << "a JWT is no token";

  EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
    tx.ExecuteText("UPDATE access_token SET expire_time = clock_timestamp() WHERE scopes = '{organizations:read}'");
  }));
  EXPECT_FALSE(Authenticate(narrow->access_token()));
  v1::RevokeApiKeyRequest revoke;
  revoke.set_id(key->id());
  CallContext any_version = Caller(id, {"admin"});
  any_version.if_match = "*";
  ASSERT_TRUE(instance_->Call<v1::ApiKey>("RevokeApiKey", any_version, revoke));
  EXPECT_FALSE(Authenticate(token->access_token()));
  EXPECT_FALSE(Authenticate(signed_token->access_token()));
  EXPECT_FALSE(issue(by_secret));
}

TEST_F(IdentityTest, MembersComeGoAndTakeTheirKeysAlong) {
  auto registered = Register(1);
  Uuid id = IdOrNil(registered.organization().id());
  CallContext first = Caller(id, {"admin", "buyer", "provider"}, "invite-anna");
  auto invite = [&](const std::string& email, std::vector<std::string> roles, CallContext context) {
    v1::InviteMemberRequest request;
    request.mutable_member()->set_display_name("Anna");
    request.mutable_member()->set_email(email);
    for (std::string& role : roles) request.mutable_member()->add_roles(std::move(role));
    return instance_->Call<v1::Member>("Members.InviteMember", std::move(context), std::move(request));
  };
  auto admin = [&] { return Caller(id, {"admin", "buyer", "provider"}); };
  auto anna = invite("anna@example.com", {"admin", "buyer"}, first);
  ASSERT_TRUE(anna) << Name(anna.error().code) << anna.error().cause;
  EXPECT_EQ(anna->state(), v1::Member::INVITED);
  EXPECT_TRUE(anna->code().starts_with("inv_"));
  bool deadline = false;
  for (const auto& action : anna->actions()) deadline = deadline || action.has_deadline_time();
  EXPECT_TRUE(deadline);
  EXPECT_EQ(
      invite("anna@example.com", {"admin", "buyer"}, Caller(id, {"admin", "buyer", "provider"}, "invite-anna"))->code(),
      anna->code());
  EXPECT_EQ(Dump().find(anna->code()), std::string::npos);
  EXPECT_EQ(Dump().find(crypto::Hex(anna->code())), std::string::npos);
  EXPECT_EQ(invite("ANNA@example.com", {"buyer"}, admin()).error().code, ErrorCode::kAlreadyExists);
  CallContext scoped = admin();
  scoped.scopes = {"members:*"};
  EXPECT_EQ(invite("b@example.com", {"buyer"}, scoped).error().code, ErrorCode::kInsufficientScope);
  EXPECT_EQ(invite("b@example.com", {"operator"}, admin()).error().code, ErrorCode::kInsufficientScope);
  EXPECT_EQ(invite("b@example.com", {"provider"}, Caller(id, {"admin", "buyer"})).error().code,
            ErrorCode::kInsufficientScope);

  auto accept = [&](const std::string& code, std::string key = {}) {
    v1::AcceptInvitationRequest request;
    request.set_code(code);
    return instance_->Call<v1::AcceptInvitationResponse>("Members.AcceptInvitation", Nobody(std::move(key)), request);
  };
  EXPECT_EQ(accept("inv_nonsense").error().code, ErrorCode::kNotFound);
  auto accepted = accept(anna->code(), "anna-accepts");
  ASSERT_TRUE(accepted) << Name(accepted.error().code) << accepted.error().cause;
  EXPECT_EQ(accepted->member().state(), v1::Member::ACTIVE);
  EXPECT_EQ(accept(anna->code(), "anna-accepts")->api_key().secret(), accepted->api_key().secret());
  EXPECT_EQ(accept(anna->code()).error().code, ErrorCode::kNotFound) << "a code is good once";
  auto caller = Authenticate(accepted->api_key().secret());
  ASSERT_TRUE(caller);
  EXPECT_EQ(caller->member_id(), anna->id());
  EXPECT_EQ(caller->roles_size(), 2);

  v1::CreateApiKeyRequest more;
  more.mutable_api_key()->set_display_name("Anna's script");
  more.mutable_api_key()->set_member_id(anna->id());
  auto second = instance_->Call<v1::ApiKey>("CreateApiKey", admin(), more);
  ASSERT_TRUE(second) << Name(second.error().code) << second.error().cause;
  ASSERT_EQ(second->roles_size(), 1) << "no more than the person may";
  EXPECT_EQ(second->roles(0), "buyer");
  more.mutable_api_key()->add_roles("provider");
  EXPECT_EQ(instance_->Call<v1::ApiKey>("CreateApiKey", admin(), more).error().code, ErrorCode::kInsufficientScope);
  more.mutable_api_key()->set_member_id(FormatId("usr", Uuid::New()));
  EXPECT_EQ(instance_->Call<v1::ApiKey>("CreateApiKey", admin(), more).error().code, ErrorCode::kNotFound);

  v1::UpdateMemberRequest update;
  update.set_id(anna->id());
  update.mutable_member()->set_display_name("Anna B.");
  update.mutable_member()->set_email("anna@example.com");
  update.mutable_member()->add_roles("buyer");
  auto change = [&](std::string if_match) {
    CallContext context = admin();
    context.if_match = std::move(if_match);
    return instance_->Call<v1::Member>("Members.UpdateMember", std::move(context), update);
  };
  EXPECT_EQ(change("9").error().code, ErrorCode::kEtagMismatch);
  EXPECT_EQ(change("").error().code, ErrorCode::kEtagRequired);
  EXPECT_EQ(change("2").error().code, ErrorCode::kLastAdmin);
  auto bert = invite("bert@example.com", {"admin"}, admin());
  ASSERT_TRUE(bert);
  EXPECT_EQ(change("2").error().code, ErrorCode::kLastAdmin) << "an invitation is no administrator yet";
  ASSERT_TRUE(accept(bert->code()));
  auto changed = change("2");
  ASSERT_TRUE(changed) << Name(changed.error().code);
  EXPECT_EQ(changed->display_name(), "Anna B.");
  EXPECT_EQ(Authenticate(accepted->api_key().secret())->roles_size(), 1) << "keys lose what the member loses";
  update.mutable_member()->set_email("other@example.com");
  EXPECT_EQ(change("*").error().code, ErrorCode::kImmutableField);

  v1::RemoveMemberRequest remove;
  remove.set_id(bert->id());
  EXPECT_EQ(instance_->Call<v1::Member>("Members.RemoveMember", admin(), remove).error().code, ErrorCode::kLastAdmin);
  remove.set_id(anna->id());
  EXPECT_EQ(instance_->Call<v1::Member>("Members.RemoveMember", Caller(Uuid::New(), {"admin"}), remove).error().code,
            ErrorCode::kNotFound);
  auto removed = instance_->Call<v1::Member>("Members.RemoveMember", admin(), remove);
  ASSERT_TRUE(removed) << Name(removed.error().code) << removed.error().cause;
  EXPECT_EQ(removed->state(), v1::Member::REMOVED);
  for (const std::string& secret : {accepted->api_key().secret(), second->secret()}) EXPECT_FALSE(Authenticate(secret));
  EXPECT_EQ(instance_->Call<v1::Member>("Members.RemoveMember", admin(), remove).error().code,
            ErrorCode::kStateConflict);
  EXPECT_TRUE(invite("anna@example.com", {"buyer"}, admin())) << "who is gone may come back";

  auto list = [&](const Uuid& asking) {
    return instance_->Call<v1::ListMembersResponse>("Members.ListMembers", Caller(asking, {"admin"}),
                                                    v1::ListMembersRequest());
  };
  ASSERT_TRUE(list(id)) << list(id).error().cause;
  EXPECT_EQ(list(id)->data_size(), 3);
  EXPECT_EQ(list(id)->data(0).code(), "");
  EXPECT_EQ(list(Uuid::New())->data_size(), 0);
  v1::GetMemberRequest get;
  get.set_id(bert->id());
  EXPECT_TRUE(instance_->Call<v1::Member>("Members.GetMember", admin(), get));
  EXPECT_EQ(instance_->Call<v1::Member>("Members.GetMember", Caller(Uuid::New(), {"admin"}), get).error().code,
            ErrorCode::kNotFound);
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type LIKE 'member.%'"), 7);
}

class AuditTest : public IdentityTest {
 protected:
  // Waits until so many acts are chained.
  v1::AuditHead HeadAt(int64_t seq) {
    v1::AuditHead head;
    test::Eventually([&] {
      head = *instance_->Call<v1::AuditHead>("Audit.GetAuditHead", Operator(), v1::GetAuditHeadRequest());
      return head.seq() >= seq;
    });
    EXPECT_EQ(head.seq(), seq);
    return head;
  }
  Result<v1::VerifyAuditLogResponse> Verify(const v1::AuditHead* anchor = nullptr) {
    v1::VerifyAuditLogRequest request;
    if (anchor) *request.mutable_anchor() = *anchor;
    return instance_->Call<v1::VerifyAuditLogResponse>("Audit.VerifyAuditLog", Operator(), request);
  }
  v1::ListAuditLogResponse List(CallContext context, int size = 0, const std::string& token = {}) {
    v1::ListAuditLogRequest request;
    request.set_page_size(size);
    request.set_page_token(token);
    auto page = instance_->Call<v1::ListAuditLogResponse>("Audit.ListAuditLog", std::move(context), request);
    EXPECT_TRUE(page) << Name(page.error().code) << page.error().cause;
    return page.value_or(v1::ListAuditLogResponse());
  }
  // With the triggers off, as one who owns the database may.
  void Tamper(const std::string& sql) {
    EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
      tx.ExecuteText("SET LOCAL session_replication_role = replica");
      EXPECT_EQ(tx.ExecuteText(sql).affected(), 1u) << sql;
    }));
  }
};

TEST_F(AuditTest, ChainsPrivilegedActsAndFindsEveryChange) {
  std::string mine = Register(1).organization().id(), theirs = Register(2).organization().id();
  ASSERT_TRUE(Do("VerifyOrganization", mine));
  ASSERT_TRUE(Do("SuspendOrganization", mine, "unpaid"));
  EXPECT_FALSE(Do("SuspendOrganization", mine, "again")) << "what is refused is no act";
  v1::CreateApiKeyRequest request;
  request.mutable_api_key()->set_display_name("audited though nobody's office");
  ASSERT_TRUE(
      instance_->Call<v1::ApiKey>("CreateApiKey", Caller(IdOrNil(theirs), {"admin", "buyer", "provider"}), request));
  v1::AuditHead head = HeadAt(3);
  auto all = List(Operator());
  ASSERT_EQ(all.data_size(), 3);
  EXPECT_EQ(all.data(0).hash(), head.hash());
  EXPECT_EQ(all.data(0).method(), "millrace.identity.v1.Identity.CreateApiKey");
  EXPECT_EQ(all.data(1).subject(), mine);
  EXPECT_NE(all.data(1).request().find("unpaid"), std::string::npos);
  EXPECT_EQ(all.data(2).prev_hash(), std::string(64, '0'));
  EXPECT_EQ(all.data(0).prev_hash(), all.data(1).hash());
  auto first = List(Operator(), 2);
  ASSERT_EQ(first.data_size(), 2);
  auto second = List(Operator(), 2, first.next_page_token());
  ASSERT_EQ(second.data_size(), 1);
  EXPECT_EQ(second.data(0).seq(), 1);
  EXPECT_EQ(second.next_page_token(), "");
  EXPECT_EQ(List(Caller(IdOrNil(theirs), {"admin"})).data_size(), 1);
  EXPECT_EQ(List(Caller(IdOrNil(mine), {"admin"})).data_size(), 0);

  auto passed = Verify(&head);
  ASSERT_TRUE(passed);
  EXPECT_TRUE(passed->passed());
  EXPECT_EQ(passed->broken_seq(), 0);
  // Nobody who works for the service changes a row, nor does the owner without taking the triggers off.
  for (const char* role : {"identity_worker", "identity_reader"}) {
    for (const char* sql : {"UPDATE audit_entry SET source = 'x'", "DELETE FROM audit_entry", "TRUNCATE audit_entry",
                            "DELETE FROM audit_head"})
      EXPECT_FALSE(admin_->RunHere([&](postgres::Transaction& tx) {
        tx.ExecuteText(std::string("SET LOCAL ROLE ") + role);
        tx.ExecuteText(sql);
      })) << role
          << sql;
  }
  EXPECT_FALSE(
      admin_->RunHere([&](postgres::Transaction& tx) { tx.ExecuteText("UPDATE audit_entry SET source = 'x'"); }));
  EXPECT_TRUE(Verify()->passed());

  // One flipped bit of any column of any row is found where it is.
  for (int64_t seq = 1; seq <= 3; ++seq) {
    std::string at = " WHERE seq = " + std::to_string(seq);
    for (const char* column : {"act", "hash", "prev_hash"}) {
      std::string set = std::string("UPDATE audit_entry SET ") + column + " = set_bit(" + column +
                        ", 77, 1 - get_bit(" + column + ", 77))" + at;
      Tamper(set);
      EXPECT_EQ(Verify()->broken_seq(), seq) << column;
      Tamper(set);
    }
    for (const char* change : {"time = time + interval '1 microsecond'~time = time - interval '1 microsecond'",
                               "source = source || 'x'~source = left(source, -1)",
                               "source_seq = source_seq + 1000~source_seq = source_seq - 1000",
                               "event_id = event_id || 'x'~event_id = left(event_id, -1)"}) {
      std::string both = change;
      Tamper("UPDATE audit_entry SET " + both.substr(0, both.find('~')) + at);
      EXPECT_EQ(Verify()->broken_seq(), seq) << change;
      Tamper("UPDATE audit_entry SET " + both.substr(both.find('~') + 1) + at);
    }
    EXPECT_TRUE(Verify()->passed());
  }
  Tamper("UPDATE audit_entry SET organization = NULL WHERE seq = 2");
  EXPECT_EQ(Verify()->broken_seq(), 2);
  Tamper("UPDATE audit_entry SET organization = '00000000-0000-7000-8000-000000000001' WHERE seq = 2");
  EXPECT_TRUE(Verify()->passed());
  // A tail that was taken away with the head moved back fits by itself; against a head that was kept it does not.
  Tamper("DELETE FROM audit_entry WHERE seq = 3");
  EXPECT_EQ(Verify()->broken_seq(), 3);
  Tamper("UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit_entry WHERE seq = 2)");
  EXPECT_TRUE(Verify()->passed());
  EXPECT_EQ(Verify(&head)->broken_seq(), 3);
  v1::AuditHead nonsense;
  nonsense.set_seq(1);
  nonsense.set_hash("xyz");
  EXPECT_EQ(Verify(&nonsense).error().code, ErrorCode::kInvalidFormat);
}

}  // namespace
}  // namespace millrace::identity
