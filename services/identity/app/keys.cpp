// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "common/base/embedded_file.h"
#include "common/crypto/crypto.h"
#include "common/rpc/page.h"
#include "common/rpc/scope.h"
#include "services/identity/app/assertion.h"
#include "services/identity/app/identity.h"
#include "services/identity/app/wire.h"
#include "services/identity/store/reads.h"

namespace millrace {
std::span<const EmbeddedFile> IdentityDescriptors();
}  // namespace millrace

namespace millrace::identity {
namespace {

using Set = IdentitySet;

std::vector<std::string> Words(const auto& values) { return {values.begin(), values.end()}; }

// A built-in organization with its key, as the configuration has it.
void MakeBuiltIn(Set& set, const Uuid& id, const char* name, const char* role, const std::string& secret) {
  OrganizationRow& row = set.organizations[id];
  if (row.version == 0) {
    row.id = id;
    row.version = 1;
    row.changed = true;
    row.message.set_id(FormatId("org", id));
    row.message.set_display_name(name);
    row.message.set_state(v1::Organization::VERIFIED);
    row.message.add_roles(role);
    row.message.add_roles("admin");
    SetTime(row.message.mutable_create_time(), set.now);
    SetTime(row.message.mutable_update_time(), set.now);
  }
  Uuid key_id = crypto::DeriveId(id, "key");
  KeyRow& key = set.keys[key_id];
  if (secret.empty()) {
    if (key.version == 0) {
      set.keys.erase(key_id);
    } else if (!key.revoke_time) {
      key.revoke_time = set.now;
      ++key.version;
      key.changed = true;
    }
    return;
  }
  std::string hash = Secrets::Hash(secret);
  key.previous_hash.clear();
  key.previous_until.reset();
  if (key.version > 0 && key.secret_hash == hash) return;  // a revoked one stays revoked
  if (key.version == 0) {
    key.id = key_id;
    key.organization = id;
    key.display_name = name;
    key.roles = {"admin", role};
    key.create_time = set.now;
  }
  key.secret_hash = hash;
  // Never more than a third of a secret that somebody chose.
  key.hint = secret.substr(0, std::min<size_t>(12, secret.size() / 3));
  key.revoke_time.reset();
  ++key.version;
  key.changed = true;
}

// The scopes of a new key: never more than the caller's own.
Result<std::vector<std::string>> KeyScopes(const std::set<std::string>& nouns, const v1::ApiKey& wanted,
                                           const std::set<std::string>& caller) {
  std::set<std::string> scopes(wanted.scopes().begin(), wanted.scopes().end());
  std::vector<Violation> violations;
  for (int i = 0; i < wanted.scopes_size(); ++i) {
    if (!rpc::IsScope(nouns, wanted.scopes(i))) {
      violations.push_back(
          {"#/api_key/scopes/" + std::to_string(i), ErrorCode::kUnknownScope, {{"scope", wanted.scopes(i)}}});
    }
  }
  if (!violations.empty()) return Fail(Error::Of(std::move(violations)));
  if (scopes.empty()) scopes = caller;
  for (const std::string& scope : scopes) MILLRACE_CHECK(rpc::CheckScope(caller, scope));
  return std::vector<std::string>(scopes.begin(), scopes.end());
}

// Whoever learns a key's secret may do what the key may: no more than the caller may already.
Result<void> CheckNotMore(const KeyRow& key, const std::set<std::string>& roles, const std::set<std::string>& scopes) {
  for (const std::string& role : key.roles) {
    if (!roles.contains(role)) return Fail(ErrorCode::kInsufficientScope, {{"roles", role}});
  }
  if (key.scopes.empty()) return rpc::CheckScope(scopes, "*:*");
  for (const std::string& scope : key.scopes) MILLRACE_CHECK(rpc::CheckScope(scopes, scope));
  return {};
}

Result<void> CheckVersion(const KeyRow& key, const std::string& if_match) {
  if (if_match.empty() || if_match == "*" || if_match == std::to_string(key.version)) return {};
  return Fail(ErrorCode::kEtagMismatch);
}

}  // namespace

Identity::Identity(Executor executor, postgres::Writer<IdentitySet>& writer, postgres::Database& worker,
                   postgres::Database& reader, std::function<rpc::Channel&(std::string_view)> channel,
                   IdentityConfig config)
    : executor_(std::move(executor)),
      writer_(writer),
      worker_(worker),
      reader_(reader),
      channel_(std::move(channel)),
      config_(std::move(config)),
      secrets_(config_.instance_secret, config_.test_clock),
      documents_(config_.document_folder) {
  nouns_ = rpc::NounsOf(IdentityDescriptors()[0].bytes);
}

Task<Result<void>> Identity::MakeBuiltIns() {
  if (config_.instance_secret.empty()) co_return Fail(Error::Internal("identity: internal_token is empty"));
  Uuid office = Uuid::FromHex(kOperatorHex), regulator = Uuid::FromHex(kRegulatorHex);
  postgres::Command<Set> command;
  command.header.method = "MakeBuiltIns";
  command.need = [office, regulator](Set& set) {
    for (const Uuid& id : {office, regulator}) {
      set.want_organizations.insert(id);
      set.want_keys.insert(crypto::DeriveId(id, "key"));
    }
  };
  command.decide = [this, office, regulator](Set& set) -> Result<std::string> {
    MakeBuiltIn(set, office, "运营方 / Operator", "operator", config_.operator_secret);
    MakeBuiltIn(set, regulator, "监管方 / Regulator", "regulator", config_.regulator_secret);
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  bool test = config_.test_clock;
  Result<void> marked = co_await MarkTestClock(worker_, test);
  co_return std::move(marked);
}

Task<Result<std::string>> Identity::Run(CallContext context, postgres::Command<IdentitySet> command) {
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  context.reply->replayed = outcome->replayed;
  co_return std::move(outcome->response);
}

KeyRow Identity::NewKey(const Uuid& id, const Uuid& organization, std::string display_name,
                        std::vector<std::string> roles, Time now) const {
  KeyRow key;
  key.id = id;
  key.organization = organization;
  key.display_name = std::move(display_name);
  key.roles = std::move(roles);
  std::string secret = secrets_.Make(id, 1);
  key.secret_hash = Secrets::Hash(secret);
  key.hint = Secrets::Hint(secret);
  key.create_time = now;
  key.version = 1;
  key.changed = true;
  return key;
}

Task<Result<v1::ApiKey>> Identity::CreateApiKey(CallContext context, v1::CreateApiKeyRequest request) {
  Uuid owner = context.organization;
  v1::ApiKey asked = std::move(*request.mutable_api_key());
  Result<v1::ApiKey> made = co_await MakeKey("CreateApiKey", std::move(context), owner, std::move(asked));
  co_return std::move(made);
}

Task<Result<v1::ApiKey>> Identity::IssueOrganizationApiKey(CallContext context,
                                                           v1::IssueOrganizationApiKeyRequest request) {
  MILLRACE_CO_TRY(Uuid owner, ParseId("org", request.organization_id(), "#/organization_id"));
  // The operator's own keys are its administrators' to make.
  if (owner == context.organization) co_return Fail(ErrorCode::kInsufficientScope, {{"roles", "admin"}});
  v1::ApiKey asked = std::move(*request.mutable_api_key());
  Result<v1::ApiKey> made = co_await MakeKey("IssueOrganizationApiKey", std::move(context), owner, std::move(asked));
  co_return std::move(made);
}

Task<Result<v1::ApiKey>> Identity::MakeKey(const char* method, CallContext context, Uuid owner, v1::ApiKey asked) {
  Uuid id = Uuid::New();
  bool own = owner == context.organization;
  if (asked.has_expire_time() && ReadTime(asked.expire_time()) <= WallNow()) {
    co_return Fail(Error::At("#/api_key/expire_time", ErrorCode::kWindowInPast, {{"now", FormatTime(WallNow())}}));
  }
  MILLRACE_CO_TRY(std::vector<std::string> scopes, KeyScopes(nouns_, asked, context.scopes));
  v1::ApiKey public_keys;
  for (int i = 0; i < asked.public_keys_size(); ++i) {
    MILLRACE_CO_CHECK(CheckPublicKey(asked.public_keys(i), "#/api_key/public_keys/" + std::to_string(i)));
    *public_keys.add_public_keys() = asked.public_keys(i);
  }
  Uuid member;
  if (!asked.member_id().empty()) {
    MILLRACE_CO_TRY(member, ParseId("usr", asked.member_id(), "#/api_key/member_id"));
  }
  std::string kept_keys = public_keys.SerializeAsString();
  auto wanted = std::make_shared<v1::ApiKey>(std::move(asked));
  postgres::Command<Set> command;
  command.header = postgres::CommandHeader::Of(context, method);
  command.need = [owner, member](Set& set) {
    set.want_organizations.insert(owner);
    if (!member.IsNil()) set.want_members.insert(member);
  };
  command.decide = [this, wanted, owner, own, id, scopes, kept_keys, member,
                    caller = Words(context.roles)](Set& set) -> Result<std::string> {
    auto found = set.organizations.find(owner);
    if (found == set.organizations.end()) return Fail(ErrorCode::kNotFound);
    std::vector<std::string> has = Words(found->second.message.roles());
    if (!member.IsNil()) {
      auto person = set.members.find(member);
      bool active = person != set.members.end() && person->second.organization == owner &&
                    person->second.message.state() == v1::Member::ACTIVE;
      if (!active) return Fail(Error::At("#/api_key/member_id", ErrorCode::kNotFound));
      // No more than the person may.
      std::vector<std::string> may = Words(person->second.message.roles());
      std::erase_if(has, [&](const std::string& role) { return std::ranges::find(may, role) == may.end(); });
    }
    MILLRACE_TRY(std::vector<std::string> roles, domain::KeyRoles(Words(wanted->roles()), has, own ? caller : has));
    KeyRow& key = set.keys[id];
    key = NewKey(id, owner, wanted->display_name(), std::move(roles), set.now);
    key.scopes = scopes;
    key.member = member;
    key.public_keys = kept_keys;
    if (wanted->has_expire_time()) key.expire_time = ReadTime(wanted->expire_time());
    return Present(key).SerializeAsString();
  };
  bool only_check = context.validate_only;
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::ApiKey key;
  key.ParseFromString(*outcome);
  // Filled in here, on fresh and replayed answers alike: what is kept with the idempotency key has no secret.
  if (!only_check) key.set_secret(secrets_.Again(IdOrNil(key.id()), key.hint(), key.secret_version()));
  co_return std::move(key);
}

Task<Result<v1::ListApiKeysResponse>> Identity::ListApiKeys(CallContext context, v1::ListApiKeysRequest request) {
  std::string filter = context.organization.Hex() + " api_keys";
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Asker asker = Asker::Of(context);
  Uuid after = page.after;
  int rows = page.size + 1;
  Result<std::vector<KeyRow>> read = co_await ReadKeys(reader_, std::move(asker), Uuid(), after, rows);
  MILLRACE_CO_TRY(std::vector<KeyRow> found, std::move(read));
  auto present = [](const KeyRow& key) { return Present(key); };
  co_return rpc::PageOf<v1::ListApiKeysResponse>(page, filter, found, present);
}

Task<Result<v1::ApiKey>> Identity::GetApiKey(CallContext context, v1::GetApiKeyRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("key", request.id()));
  Asker asker = Asker::Of(context);
  Result<std::vector<KeyRow>> read = co_await ReadKeys(reader_, std::move(asker), id, Uuid(), 1);
  MILLRACE_CO_TRY(std::vector<KeyRow> found, std::move(read));
  if (found.empty()) co_return Fail(ErrorCode::kNotFound);
  v1::ApiKey key = Present(found.front());
  context.reply->etag = key.etag();
  co_return std::move(key);
}

Task<Result<v1::ApiKey>> Identity::RotateApiKey(CallContext context, v1::RotateApiKeyRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("key", request.id()));
  std::chrono::seconds overlap = kRotationOverlap;
  if (request.has_overlap_seconds()) overlap = std::chrono::seconds(request.overlap_seconds());
  postgres::Command<Set> command;
  command.header = postgres::CommandHeader::Of(context, "RotateApiKey");
  command.need = [id](Set& set) { set.want_keys.insert(id); };
  command.decide = [this, id, overlap, asking = context.organization, wall = WallNow(), caller = context.roles,
                    caller_scopes = context.scopes, if_match = context.if_match](Set& set) -> Result<std::string> {
    auto found = set.keys.find(id);
    if (found == set.keys.end() || found->second.organization != asking) return Fail(ErrorCode::kNotFound);
    KeyRow& key = found->second;
    MILLRACE_CHECK(CheckVersion(key, if_match));
    MILLRACE_CHECK(CheckNotMore(key, caller, caller_scopes));
    // The keys of the configuration change with it, and a revoked one is over.
    bool configured = id == crypto::DeriveId(asking, "key");
    if (key.revoke_time || configured) {
      return Fail(ErrorCode::kStateConflict,
                  {{"state", configured ? "CONFIGURED" : "REVOKED"}, {"action", "rotate"}, {"allowed", "-"}});
    }
    bool overlaps = overlap > std::chrono::seconds(0);
    key.previous_hash = overlaps ? key.secret_hash : "";
    key.previous_until.reset();
    if (overlaps) key.previous_until = wall + overlap;
    std::string secret = secrets_.Make(id, ++key.secret_version);
    key.secret_hash = Secrets::Hash(secret);
    key.hint = Secrets::Hint(secret);
    ++key.version;
    key.changed = true;
    return Present(key).SerializeAsString();
  };
  bool only_check = context.validate_only;
  std::shared_ptr<ReplyInfo> reply = context.reply;
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::ApiKey key;
  key.ParseFromString(*outcome);
  if (!only_check) key.set_secret(secrets_.Again(IdOrNil(key.id()), key.hint(), key.secret_version()));
  reply->etag = key.etag();
  co_return std::move(key);
}

Task<Result<v1::ApiKey>> Identity::RevokeApiKey(CallContext context, v1::RevokeApiKeyRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("key", request.id()));
  postgres::Command<Set> command;
  command.header = postgres::CommandHeader::Of(context, "RevokeApiKey");
  command.need = [id](Set& set) { set.want_keys.insert(id); };
  command.decide = [id, asking = context.organization, any = context.IsOperator(),
                    if_match = context.if_match](Set& set) -> Result<std::string> {
    auto found = set.keys.find(id);
    if (found == set.keys.end() || (found->second.organization != asking && !any)) return Fail(ErrorCode::kNotFound);
    KeyRow& key = found->second;
    MILLRACE_CHECK(CheckVersion(key, if_match));
    if (!key.revoke_time) {
      key.revoke_time = set.now;
      ++key.version;
      key.changed = true;
    }
    return Present(key).SerializeAsString();
  };
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::ApiKey key;
  key.ParseFromString(*outcome);
  co_return std::move(key);
}

void Identity::Used(const Uuid& key) {
  auto now = std::chrono::steady_clock::now();
  auto [noted, fresh] = used_.emplace(key, now);
  if (!fresh && now - noted->second < kUseNotedEach) return;
  noted->second = now;
  if (used_.size() > kUsesKept) {
    used_.clear();
    used_.emplace(key, now);
  }
  Spawn(executor_, WriteUse(key), "last use of a key");
}

Task<void> Identity::WriteUse(Uuid key) {
  Result<void> written = co_await NoteUse(worker_, key);
  if (!written) used_.erase(key);  // the next use tries again
}

Task<Result<v1::AuthenticateResponse>> Identity::Authenticate(CallContext, v1::AuthenticateRequest request) {
  if (request.token().empty()) co_return Fail(ErrorCode::kUnauthenticated);
  std::string hash = Secrets::Hash(request.token());
  bool is_token = request.token().starts_with(kTokenPrefix);
  Result<std::optional<Credential>> read = co_await ReadCredential(reader_, std::move(hash), is_token);
  MILLRACE_CO_TRY(std::optional<Credential> credential, std::move(read));
  if (!credential) co_return Fail(ErrorCode::kUnauthenticated);
  v1::AuthenticateResponse response;
  response.set_organization_id(FormatId("org", credential->organization));
  response.set_api_key_id(FormatId("key", credential->key));
  for (const std::string& role : credential->roles) response.add_roles(role);
  response.set_verified(credential->state == v1::Organization::VERIFIED);
  if (!credential->member.IsNil()) response.set_member_id(FormatId("usr", credential->member));
  for (const std::string& scope : credential->scopes) response.add_scopes(scope);
  Used(credential->key);
  co_return std::move(response);
}

}  // namespace millrace::identity
