// SPDX-License-Identifier: Apache-2.0
// The rows of documents.
#pragma once

#include <map>
#include <set>
#include <string>

#include "common/postgres/database.h"
#include "millrace/identity/v1/documents.pb.h"

namespace millrace::identity {

// `message` is what is kept: everything but the etag.
struct DocumentRow {
  Uuid id, organization;
  v1::Document message;
  Time create_time;
  bool fresh = false;  // made with this set
  bool gone = false;   // deleted with it
};

// All of the organizations, locked.
std::map<Uuid, DocumentRow> LoadDocuments(postgres::Transaction& tx, const std::set<Uuid>& organizations);
void SaveDocuments(postgres::Transaction& tx, const std::map<Uuid, DocumentRow>& rows);
// Whether any row names the content.
Task<Result<bool>> IsContentNamed(postgres::Database& worker, std::string sha256);

}  // namespace millrace::identity
