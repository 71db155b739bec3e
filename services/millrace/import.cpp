// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/import.h"

#include <cstdio>
#include <fstream>
#include <sstream>

namespace millrace {
namespace {

bool ReadFile(const std::string& path, std::string* bytes) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return false;
  std::ostringstream out;
  out << in.rdbuf();
  *bytes = std::move(out).str();
  return true;
}

void PrintSummary(const Json& import) {
  const Json& summary = import["summary"];
  auto line = [&](const char* key, const char* words) { std::printf("  %6d  %s\n", summary.value(key, 0), words); };
  line("to_create", "to create");
  line("to_update", "to update");
  line("unchanged", "unchanged");
  line("invalid", "invalid");
  line("mapped", "with a process, given or mapped from the name");
  line("unmapped", "without one, no name allowed it: a draft to complete by hand");
  for (const Json& failure : import["failures"]) {
    std::printf("  row %d, column %s: %s %s\n", failure.value("row", 0), failure.value("column", "").c_str(),
                failure.value("code", "").c_str(), failure.value("detail", "").c_str());
  }
}

// As many as the platform shows of its own.
constexpr size_t kShown = 20;

void PrintFailures(const std::vector<std::string>& failures) {
  for (size_t i = 0; i < failures.size() && i < kShown; ++i) std::printf("  %s\n", failures[i].c_str());
  if (failures.size() > kShown) std::printf("  and %zu more\n", failures.size() - kShown);
}

int Refuse(const char* what, const Answer& answer) {
  std::fprintf(stderr, "millrace import: %s: %s\n", what, Describe(answer).c_str());
  if (answer.status == 401) std::fprintf(stderr, "%s\n", kHowToGiveAKey);
  return answer.status == 401 || answer.status == 403 ? 4 : 1;
}

}  // namespace

int Import(const ApiClient& client, const ImportOptions& options) {
  std::string bytes;
  if (!ReadFile(options.file, &bytes)) {
    std::fprintf(stderr, "millrace import: %s cannot be read\n", options.file.c_str());
    return 2;
  }
  if (!options.map.empty()) {
    std::string map;
    if (!ReadFile(options.map, &map)) {
      std::fprintf(stderr, "millrace import: the map %s cannot be read\n", options.map.c_str());
      return 2;
    }
    Result<MappedFile> mapped = MapColumns(map, bytes);
    if (!mapped) {
      const Error& error = mapped.error();
      std::string why = error.cause.empty() ? Detail(error.code, error.params, Language::kEn) : error.cause;
      std::fprintf(stderr, "millrace import: %s\n", why.c_str());
      return 2;
    }
    std::printf("Mapped %d rows with %s; %d left out by skip_when\n", mapped->rows, options.map.c_str(),
                mapped->skipped);
    PrintFailures(mapped->failures);
    if (!mapped->failures.empty() && !options.skip_invalid) {
      std::fprintf(stderr, "millrace import: %zu rows do not fit the map; mend them, or add --skip-invalid\n",
                   mapped->failures.size());
      return 1;
    }
    bytes = std::move(mapped->csv);
  }
  Answer checked =
      client.Send("POST", options.publish ? "/v1/imports?publish=true" : "/v1/imports", std::move(bytes), "text/csv");
  if (!checked.ok()) return Refuse(options.file.c_str(), checked);
  std::string id = checked.body.value("id", "");
  std::printf("%s (%s)\n", options.file.c_str(), id.c_str());
  PrintSummary(checked.body);
  int invalid = checked.body["summary"].value("invalid", 0);
  if (options.dry_run) {
    std::printf("Nothing was taken over (--dry-run).\n");
    return invalid > 0 ? 1 : 0;
  }
  if (invalid > 0 && !options.skip_invalid) {
    std::fprintf(stderr,
                 "millrace import: nothing was taken over. `millrace imports failed_rows %s` prints every refused row "
                 "with its reason. Mend them, or add --skip-invalid\n",
                 id.c_str());
    return 1;
  }
  Answer confirmed =
      client.Call("POST", "/v1/imports/" + id + ":confirm", Json{{"skip_invalid", options.skip_invalid}});
  if (!confirmed.ok()) return Refuse("confirmation", confirmed);
  std::printf("Taken over.\n");
  return 0;
}

}  // namespace millrace
