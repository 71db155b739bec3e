// SPDX-License-Identifier: Apache-2.0
// An import's file as rows: read, checked, mapped. No I/O; runs on the compute pool.
#pragma once

#include "services/listing/domain/import_columns.h"
#include "services/listing/store/rows.h"

namespace millrace::listing {

// Whom a row may belong to.
struct Owner {
  Uuid id;  // nil: not known
  bool verified = false;
};

// A file that was read up to its header.
struct ImportFile {
  std::string text;  // UTF-8
  domain::Header header;
};

// Fields of every kind's message: "axes", "methods", ….
const std::vector<std::string>& AttributeFields();
// Errors: IMPORT_ENCODING, IMPORT_HEADER, IMPORT_ROW (too many rows).
Result<ImportFile> OpenImport(const std::string& bytes, bool for_operator, Language language);
// The distinct texts of the column `organization`.
std::set<std::string> NamedOrganizations(const ImportFile& file);

// Each row, valid or refused, in order. `owners`: by the texts of NamedOrganizations, or the one caller's own under "".
std::vector<ImportLine> CheckImport(const ImportFile& file, const std::map<std::string, Owner>& owners, bool publish);
// Turns a line into a refused one (more faults are added to those it has).
void RefuseLine(ImportLine& line, const Violation& fault);

// The header of a file with every column of a kind.
std::string ImportTemplate(int kind, bool for_operator);

}  // namespace millrace::listing
