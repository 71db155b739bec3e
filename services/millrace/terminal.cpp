// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace millrace {
namespace {

bool Colourful() {
  static const bool colourful = [] {
    const char* no_color = std::getenv("NO_COLOR");
    const char* term = std::getenv("TERM");
    bool dumb = term != nullptr && std::string_view(term) == "dumb";
    return AtTerminal() && !dumb && (no_color == nullptr || *no_color == '\0');
  }();
  return colourful;
}

// East Asian wide and full-width blocks (Unicode Annex 11), as whole ranges.
bool IsWide(char32_t c) {
  return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) || (c >= 0xAC00 && c <= 0xD7A3) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
         (c >= 0xFFE0 && c <= 0xFFE6) || (c >= 0x1F300 && c <= 0x1FAFF) || (c >= 0x20000 && c <= 0x3FFFD);
}

// What others wrote must not steer the terminal.
std::string Plain(std::string_view cell) {
  std::string out(cell);
  for (char& c : out) c = static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  return out;
}

}  // namespace

bool AtTerminal() {
  static const bool terminal = isatty(STDOUT_FILENO) == 1;
  return terminal;
}

std::string Paint(std::string_view text, Colour colour) {
  if (!Colourful()) return std::string(text);
  const char* code = colour == Colour::kGreen ? "32" : colour == Colour::kRed ? "31" : "33";
  if (colour == Colour::kFaint) code = "2";
  return std::string("\033[") + code + "m" + std::string(text) + "\033[0m";
}

size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size();) {
    unsigned char lead = static_cast<unsigned char>(text[i]);
    size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    char32_t c = length == 1 ? lead : lead & (0x7F >> length);
    for (size_t k = 1; k < length && i + k < text.size(); ++k) {
      c = (c << 6) | (static_cast<unsigned char>(text[i + k]) & 0x3F);
    }
    width += IsWide(c) ? 2 : 1;
    i += length;
  }
  return width;
}

void PrintRow(const std::vector<std::string>& cells, const std::vector<size_t>& widths) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    std::string cell = Plain(cells[i]);
    if (!AtTerminal()) {
      line += (i == 0 ? "" : "\t") + cell;
      continue;
    }
    size_t width = DisplayWidth(cell);
    line += (i == 0 ? "" : "  ") + cell;
    if (i + 1 < cells.size() && i < widths.size() && width < widths[i]) line.append(widths[i] - width, ' ');
  }
  std::printf("%s\n", line.c_str());
}

void PrintTable(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const std::string& title : header) widths.push_back(DisplayWidth(title));
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  }
  if (AtTerminal() && !rows.empty()) PrintRow(header, widths);
  for (const auto& row : rows) PrintRow(row, widths);
}

Busy::Busy(std::string what) : what_(std::move(what)) {
  if (isatty(STDERR_FILENO) == 1) thread_ = std::thread([this] { Run(); });
}

Busy::~Busy() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    over_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

void Busy::Run() {
  auto began = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  bool shown = false;
  while (!ended_.wait_for(lock, std::chrono::milliseconds(500), [this] { return over_; })) {
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    std::fprintf(stderr, "\r\033[K%s … %.0f s", what_.c_str(), seconds);
    shown = true;
  }
  if (shown) std::fprintf(stderr, "\r\033[K");
}

}  // namespace millrace
