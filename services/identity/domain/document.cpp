// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/document.h"

#include <algorithm>

namespace millrace::identity::domain {
namespace {

using namespace std::string_view_literals;

constexpr std::pair<std::string_view, std::string_view> kMagics[] = {
    {"%PDF-"sv, "application/pdf"sv},
    {"\x89PNG\r\n\x1A\n"sv, "image/png"sv},
    {"\xFF\xD8\xFF"sv, "image/jpeg"sv},
};

// The type alone, in lower case: "image/png" of "Image/PNG; name=x".
std::string Bare(std::string_view content_type) {
  std::string bare(content_type.substr(0, content_type.find(';')));
  while (bare.ends_with(' ') || bare.ends_with('\t')) bare.pop_back();
  std::ranges::transform(bare, bare.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return bare;
}

}  // namespace

std::string_view MediaTypeOf(std::string_view content) {
  for (const auto& [magic, type] : kMagics) {
    if (content.starts_with(magic)) return type;
  }
  return {};
}

Result<std::string_view> CheckContent(std::string_view content, std::string_view content_type,
                                      std::string_view pointer) {
  std::string_view is = MediaTypeOf(content);
  std::string sent_as = Bare(content_type);
  bool unknown = sent_as.empty() || sent_as == "application/octet-stream";
  if (!is.empty() && (unknown || sent_as == is)) return is;
  std::string accept = is.empty() ? "application/pdf, image/png, image/jpeg" : std::string(is);
  return Fail(Error::At(std::string(pointer), ErrorCode::kUnsupportedMediaType, {{"accept", std::move(accept)}}));
}

Result<void> CheckFileName(std::string_view name, std::string_view pointer) {
  bool bad = std::ranges::any_of(name, [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F || c == '/' || c == '\\';
  });
  if (!bad && !name.empty() && name != "." && name != "..") return {};
  return Fail(Error::At(std::string(pointer), ErrorCode::kInvalidFormat, {{"expected", "license.pdf"}}));
}

Result<void> CheckDocumentAct(State organization, DocumentAct act) {
  bool upload = act == DocumentAct::kUpload;
  bool may = upload ? organization != State::kRejected : organization == State::kPending;
  if (may) return {};
  return Fail(ErrorCode::kStateConflict, {{"state", std::string(OrganizationTable().state_name(organization))},
                                          {"action", upload ? "upload" : "delete"},
                                          {"allowed", upload || organization == State::kRejected ? "-" : "upload"}});
}

}  // namespace millrace::identity::domain
