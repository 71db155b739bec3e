// SPDX-License-Identifier: Apache-2.0
#include "services/identity/store/documents.h"

namespace millrace::identity {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;
using postgres::Transaction;

constexpr Statement kLoad = {"identity_load_documents",
                             "SELECT id, organization, message, runtime.micros(create_time) FROM document "
                             "WHERE organization = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"};
constexpr Statement kSave = {
    "identity_save_documents",
    "INSERT INTO document (id, organization, kind, sha256, message, create_time) "
    "SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::bytea[], $6::timestamptz[])"};
constexpr Statement kDelete = {"identity_delete_documents", "DELETE FROM document WHERE id = ANY ($1::uuid[])"};
constexpr Statement kNamed = {"identity_content_named", "SELECT EXISTS (SELECT FROM document WHERE sha256 = $1)"};

}  // namespace

std::map<Uuid, DocumentRow> LoadDocuments(Transaction& tx, const std::set<Uuid>& organizations) {
  std::map<Uuid, DocumentRow> documents;
  for (Row row : tx.Execute(kLoad, Params().Ids({organizations.begin(), organizations.end()}))) {
    DocumentRow& document = documents[row.Id(0)];
    document.id = row.Id(0);
    document.organization = row.Id(1);
    document.message.ParseFromString(row.Bytes(2));
    document.create_time = row.At(3);
  }
  return documents;
}

void SaveDocuments(Transaction& tx, const std::map<Uuid, DocumentRow>& rows) {
  std::vector<Uuid> ids, organizations, gone;
  std::vector<int64_t> kinds;
  std::vector<std::string> hashes, messages;
  std::vector<Time> times;
  for (const auto& [id, row] : rows) {
    if (row.gone) gone.push_back(id);
    if (!row.fresh || row.gone) continue;
    ids.push_back(id);
    organizations.push_back(row.organization);
    kinds.push_back(row.message.kind());
    hashes.push_back(row.message.sha256());
    messages.push_back(row.message.SerializeAsString());
    times.push_back(row.create_time);
  }
  if (!gone.empty()) tx.Execute(kDelete, Params().Ids(gone));
  if (ids.empty()) return;
  Params params;
  params.Ids(ids).Ids(organizations).Ints(kinds).Texts(hashes).BytesArray(messages).Times(times);
  tx.Execute(kSave, params);
}

Task<Result<bool>> IsContentNamed(postgres::Database& worker, std::string sha256) {
  Params params = Params().Text(sha256);
  Result<Rows> rows = co_await worker.Query(kNamed, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return (*rows)[0].Bool(0);
}

}  // namespace millrace::identity
