// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/command_line.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/words.h"
#include "services/millrace/arguments.h"
#include "services/millrace/clock.h"
#include "services/millrace/completion.h"
#include "services/millrace/follow.h"
#include "services/millrace/terminal.h"

namespace millrace {
namespace {

int64_t Seconds(std::string_view text) {
  std::optional<Duration> length = ParseLength(text);
  return length ? std::chrono::duration_cast<std::chrono::seconds>(*length).count() : -1;
}

TEST(Length, AsPeopleAndAsIso8601) {
  EXPECT_EQ(Seconds("2d"), 172800);
  EXPECT_EQ(Seconds("36h"), 129600);
  EXPECT_EQ(Seconds("1d12h30m5s"), 131405);
  EXPECT_EQ(Seconds("1w"), 604800);
  EXPECT_EQ(Seconds("PT36H"), 129600);
  EXPECT_EQ(Seconds("P2D"), 172800);
  EXPECT_EQ(Seconds("P1DT2H30M"), 95400);
  EXPECT_EQ(Seconds("PT90S"), 90);
}

TEST(Length, RefusesWhatIsNone) {
  for (const char* text : {"",    "2",    "d",   "-2d",  "2d3d", "3h2d", "2 d",          "P",     "PT", "P1M",
                           "P1Y", "PT1D", "P2H", "1.5h", "0d",   "P0D",  "99999999999d", "3661d", "2x", "P1DT"}) {
    EXPECT_EQ(Seconds(text), -1) << text;
  }
}

std::vector<std::string> Parse(const std::vector<std::string>& pieces, EventParser* parser) {
  std::vector<std::string> seen;
  for (const std::string& piece : pieces) {
    parser->Feed(piece, [&](const StreamEvent& event) {
      seen.push_back(event.id + "|" + event.type + "|" + event.data);
      return true;
    });
  }
  return seen;
}

const std::string kStream =
    "\xEF\xBB\xBFretry: 40\nid: 17\n\n: ping\n\nid: evt_1\nevent: a\ndata: {\ndata: }\n\n"
    "id: evt_2\r\nevent:b\r\ndata\r\n\r\nid: evt_3\rdata: x\r\rid: evt_4\nevent: cut\ndata: y\n";

TEST(EventParser, GivesWholeEventsHoweverTheyAreCut) {
  const std::vector<std::string> wanted = {"evt_1|a|{\n}", "evt_2|b|", "evt_3|message|x"};
  for (size_t size = 1; size <= kStream.size(); ++size) {
    std::vector<std::string> pieces;
    for (size_t at = 0; at < kStream.size(); at += size) pieces.push_back(kStream.substr(at, size));
    EventParser parser;
    EXPECT_EQ(Parse(pieces, &parser), wanted) << size;
    EXPECT_EQ(parser.last_id(), "evt_3");
    EXPECT_EQ(parser.retry_ms(), 40);
  }
}

TEST(EventParser, StartsAnewBehindTheLastWholeEvent) {
  EventParser parser;
  Parse({"id: 99\n\n", "id: evt_1\nda"}, &parser);
  EXPECT_EQ(parser.last_id(), "99");
  parser.Restart();
  EXPECT_EQ(Parse({"data: z\n\n"}, &parser), std::vector<std::string>{"99|message|z"});
  EXPECT_TRUE(Parse({"retry: soon\nid: a", std::string("\0b\n", 3), "event: only\n\n"}, &parser).empty());
  EXPECT_EQ(parser.last_id(), "99");
  EXPECT_EQ(parser.retry_ms(), 3000);
}

TEST(EventParser, EndsWhenToldAndBoundsALine) {
  EventParser parser;
  int seen = 0;
  EXPECT_FALSE(parser.Feed("data: 1\n\ndata: 2\n\n", [&](const StreamEvent&) { return ++seen > 1; }));
  EXPECT_EQ(seen, 1);
  std::string huge = "data: " + std::string(2 * kEventBytesMax, 'x') + "\n\n";
  EventParser bounded;
  size_t size = 0;
  bounded.Feed(huge, [&](const StreamEvent& event) { return size = event.data.size(), true; });
  EXPECT_LE(size, kEventBytesMax);
}

TEST(Terminal, CountsColumns) {
  EXPECT_EQ(DisplayWidth("abc"), 3u);
  EXPECT_EQ(DisplayWidth("铣床 1"), 6u);
  EXPECT_EQ(DisplayWidth("é…"), 2u);
  EXPECT_EQ(DisplayWidth("\xE9"), 1u);  // cut short: no reading behind the end
}

TEST(Arguments, AreTakenOneByOne) {
  std::vector<std::string> words = {"--b=2", "file", "--a", "1", "--flag", "--last"};
  EXPECT_EQ(TakeOption(&words, "--a"), "1");
  EXPECT_EQ(TakeOption(&words, "--b"), "2");
  EXPECT_TRUE(TakeFlag(&words, "--flag"));
  EXPECT_FALSE(TakeFlag(&words, "--flag"));
  EXPECT_EQ(TakeOption(&words, "--last"), std::nullopt);
  EXPECT_EQ(TakeWord(&words), "file");
  EXPECT_EQ(words, std::vector<std::string>{"--last"});
  EXPECT_EQ(SplitWords(",a,,b,"), (std::vector<std::string>{"a", "b"}));
}

std::vector<std::string> Words(const std::vector<std::string>& typed) {
  std::vector<std::string> words;
  for (const Candidate& candidate : Complete(typed)) words.push_back(candidate.word);
  return words;
}

bool Has(const std::vector<std::string>& words, const std::string& word) {
  return std::ranges::count(words, word) == 1;
}

TEST(Completion, KnowsTheContract) {
  EXPECT_TRUE(Has(Words({""}), "listen") && Has(Words({""}), "bookings") && Has(Words({""}), "clock"));
  EXPECT_EQ(Words({"book"}), std::vector<std::string>{"bookings"});
  EXPECT_TRUE(Has(Words({"bookings", ""}), "checkIn"));
  EXPECT_EQ(Words({"bookings", "checkI"}), std::vector<std::string>{"checkIn"});
  EXPECT_TRUE(Has(Words({"events", ""}), "tail"));
  EXPECT_EQ(Words({"clock", ""}), (std::vector<std::string>{"show", "advance"}));
  EXPECT_EQ(Words({"resources", "create", "--external"}), std::vector<std::string>{"--external-id"});
  EXPECT_TRUE(Has(Words({"resources", "create", "--"}), "--idempotency-key"));
  EXPECT_TRUE(Has(Words({"resources", "create", "--kind", ""}), "TOOLING"));
  EXPECT_FALSE(Has(Words({"resources", "create", "--"}), "--create-time")) << "set by the platform";
  EXPECT_TRUE(Has(Words({"listen", "--"}), "--forward-to") && Has(Words({"listen", "--"}), "--help"));
  EXPECT_TRUE(Words({"import", "--map", ""}).empty()) << "a file";
  EXPECT_TRUE(Words({"nonsense", ""}).empty() && Words({}).empty());
}

TEST(Commands, EachTellsExamplesAndUsage) {
  for (const Command& command : Commands()) {
    EXPECT_GT(std::string_view(command.examples).size(), 0u) << command.name;
    EXPECT_GT(std::string_view(command.usage).size(), 0u) << command.name;
    EXPECT_EQ(FindCommand(command.name), &command);
  }
}

}  // namespace
}  // namespace millrace
