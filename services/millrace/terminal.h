// SPDX-License-Identifier: Apache-2.0
// What is printed for people at a terminal and for programs behind a pipe.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace millrace {

// Exit statuses of every command.
inline constexpr int kDone = 0, kFailed = 1, kMisused = 2, kNotPermitted = 4;

// Whether standard output is a terminal.
bool AtTerminal();

enum class Colour { kGreen, kRed, kYellow, kFaint };
// The text in that colour at a terminal; as it is when piped, with NO_COLOR set, or on a dumb terminal.
std::string Paint(std::string_view text, Colour colour);

// Columns that a terminal needs for UTF-8 text: Han characters and their like take two.
size_t DisplayWidth(std::string_view text);

// Aligned columns under a header at a terminal, tab-separated lines without one when piped. Tabs, line ends and control
// characters inside a cell become blanks.
void PrintTable(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows);
// One row of a table that grows: padded to `widths` at a terminal.
void PrintRow(const std::vector<std::string>& cells, const std::vector<size_t>& widths);

// Says on standard error what takes long, from half a second on, while it lives; only at a terminal.
class Busy {
 public:
  explicit Busy(std::string what);
  ~Busy();
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  void Run();
  std::string what_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace millrace
