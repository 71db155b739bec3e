// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/import.h"

#include <cstdio>
#include <expected>
#include <optional>

#include "services/millrace/arguments.h"
#include "services/millrace/terminal.h"

namespace millrace {
namespace {

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

void PrintFailures(const std::vector<std::string>& failures, FILE* out) {
  for (size_t i = 0; i < failures.size() && i < kShown; ++i) std::fprintf(out, "  %s\n", failures[i].c_str());
  if (failures.size() > kShown) std::fprintf(out, "  and %zu more\n", failures.size() - kShown);
}

int Refuse(const char* what, const Answer& answer, bool json) {
  if (json && answer.body.is_object()) std::printf("%s\n", answer.body.dump(2).c_str());
  std::fprintf(stderr, "millrace import: %s: %s\n", what, Describe(answer).c_str());
  return Refusal(answer);
}

// The file in the platform's columns; or the exit status, with a word to the person.
std::expected<std::string, int> Mapped(const ImportOptions& options, std::string bytes) {
  std::optional<std::string> map = ReadFile(options.map);
  if (!map) {
    std::fprintf(stderr, "millrace import: the map %s cannot be read\n", options.map.c_str());
    return std::unexpected(kMisused);
  }
  Result<MappedFile> mapped = MapColumns(*map, bytes);
  if (!mapped) {
    const Error& error = mapped.error();
    std::string why = error.cause.empty() ? Detail(error.code, error.params, Language::kEn) : error.cause;
    std::fprintf(stderr, "millrace import: %s\n", why.c_str());
    return std::unexpected(kMisused);
  }
  std::fprintf(options.json ? stderr : stdout, "Mapped %d rows with %s; %d left out by skip_when\n", mapped->rows,
               options.map.c_str(), mapped->skipped);
  PrintFailures(mapped->failures, options.json ? stderr : stdout);
  if (!mapped->failures.empty() && !options.skip_invalid) {
    std::fprintf(stderr, "millrace import: %zu rows do not fit the map; mend them, or add --skip-invalid\n",
                 mapped->failures.size());
    return std::unexpected(kFailed);
  }
  return std::move(mapped->csv);
}

}  // namespace

int Import(const ApiClient& client, const ImportOptions& options) {
  std::optional<std::string> read = ReadFile(options.file);
  if (!read) {
    std::fprintf(stderr, "millrace import: %s cannot be read\n", options.file.c_str());
    return kMisused;
  }
  std::string bytes = *std::move(read);
  if (!options.map.empty()) {
    std::expected<std::string, int> mapped = Mapped(options, std::move(bytes));
    if (!mapped) return mapped.error();
    bytes = *std::move(mapped);
  }
  Answer answer;
  {
    Busy busy("checking " + options.file);
    answer =
        client.Send("POST", options.publish ? "/v1/imports?publish=true" : "/v1/imports", std::move(bytes), "text/csv");
  }
  if (!answer.ok()) return Refuse(options.file.c_str(), answer, options.json);
  std::string id = answer.body.value("id", "");
  if (!options.json) {
    std::printf("%s (%s)\n", options.file.c_str(), id.c_str());
    PrintSummary(answer.body);
  }
  int invalid = answer.body["summary"].value("invalid", 0);
  if (options.dry_run || (invalid > 0 && !options.skip_invalid)) {
    if (options.json) std::printf("%s\n", answer.body.dump(2).c_str());
    if (!options.json && options.dry_run) std::printf("Nothing was taken over (--dry-run).\n");
    if (!options.dry_run) {
      std::fprintf(stderr,
                   "millrace import: nothing was taken over. `millrace imports failed_rows %s` prints every refused "
                   "row with its reason. Mend them, or add --skip-invalid\n",
                   id.c_str());
    }
    return invalid > 0 ? kFailed : kDone;
  }
  {
    Busy busy("taking " + options.file + " over");
    answer = client.Call("POST", "/v1/imports/" + id + ":confirm", Json{{"skip_invalid", options.skip_invalid}});
  }
  if (!answer.ok()) return Refuse("confirmation", answer, options.json);
  std::printf("%s\n", options.json ? answer.body.dump(2).c_str() : "Taken over.");
  return kDone;
}

}  // namespace millrace
