// SPDX-License-Identifier: Apache-2.0
#include "services/identity/store/tokens.h"

#include "common/base/words.h"

namespace millrace::identity {
namespace {

using postgres::Params;
using postgres::Rows;
using postgres::Statement;
using postgres::Transaction;

constexpr Statement kClient = {"identity_client", "SELECT * FROM read_client($1)"};
constexpr Statement kUse = {"identity_use_assertion",
                            "INSERT INTO used_assertion (key, jti_hash, expire_time) VALUES ($1, $2, $3) "
                            "ON CONFLICT (key, jti_hash) DO NOTHING"};
constexpr Statement kKeep = {"identity_keep_token",
                             "INSERT INTO access_token (hash, key, scopes, expire_time) "
                             "VALUES ($1, $2, string_to_array($3, ','), $4)"};
// Twice as many as one call adds, so that what is over goes away.
constexpr Statement kForgetTokens = {
    "identity_forget_tokens",
    "DELETE FROM access_token WHERE hash IN (SELECT hash FROM access_token WHERE expire_time < clock_timestamp() "
    "ORDER BY expire_time LIMIT 2 FOR UPDATE SKIP LOCKED)"};
constexpr Statement kForgetAssertions = {
    "identity_forget_assertions",
    "DELETE FROM used_assertion WHERE (key, jti_hash) IN (SELECT key, jti_hash FROM used_assertion "
    "WHERE expire_time < clock_timestamp() ORDER BY expire_time LIMIT 2 FOR UPDATE SKIP LOCKED)"};

}  // namespace

Task<Result<std::optional<SigningClient>>> ReadSigningClient(postgres::Database& reader, Uuid key) {
  Params params = Params().Id(key);
  Result<Rows> rows = co_await reader.Query(kClient, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  if (rows->empty()) co_return std::optional<SigningClient>();
  SigningClient client;
  client.scopes = SplitWords((*rows)[0].Text(0));
  v1::ApiKey kept;
  kept.ParseFromString((*rows)[0].Bytes(1));
  client.public_keys.assign(kept.public_keys().begin(), kept.public_keys().end());
  co_return std::optional<SigningClient>(std::move(client));
}

Task<Result<bool>> KeepToken(postgres::Database& worker, NewToken token) {
  auto shared = std::make_shared<NewToken>(std::move(token));
  std::function<bool(Transaction&)> keep = [shared](Transaction& tx) {
    if (shared->assertion) {
      Params used = Params().Id(shared->key).Bytes(shared->assertion->jti_hash).At(shared->assertion->expire_time);
      if (tx.Execute(kUse, used).affected() != 1) return false;
    }
    Params row = Params().Bytes(shared->hash).Id(shared->key).Text(JoinWords(shared->scopes)).At(shared->expire_time);
    tx.Execute(kKeep, row);
    tx.Execute(kForgetTokens);
    tx.Execute(kForgetAssertions);
    return true;
  };
  Result<bool> kept = co_await worker.Run(std::move(keep));
  co_return std::move(kept);
}

}  // namespace millrace::identity
