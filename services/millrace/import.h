// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "common/base/result.h"
#include "services/millrace/client.h"

namespace millrace {

struct ImportOptions {
  std::string file;
  std::string map;  // a column map (deploy/local/maps/README.md); empty: the file has the platform's own columns
  bool dry_run = false, publish = false, skip_invalid = false;
  bool json = false;  // print the import as the API answers it, and nothing else
};

// Sends a CSV file, prints what it would do and which rows are refused, and confirms it unless it is a dry run. The
// exit status.
int Import(const ApiClient& client, const ImportOptions& options);

// Someone else's CSV as one with the platform's columns, by the rules of a map. Rows that the map fails are listed in
// `failures`
// ("row 5, column travel_x_mm: …") and left out. Errors: INTERNAL with a cause (the map), IMPORT_ENCODING,
// IMPORT_HEADER.
struct MappedFile {
  std::string csv;
  int rows = 0, skipped = 0;
  std::vector<std::string> failures;
};
Result<MappedFile> MapColumns(const std::string& map_yaml, std::string_view file);

}  // namespace millrace
