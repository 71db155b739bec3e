// SPDX-License-Identifier: Apache-2.0
// What an organization proves itself with: which files are taken, and when.
#pragma once

#include <string>
#include <string_view>

#include "services/identity/domain/organization.h"

namespace millrace::identity::domain {

// Documents of one organization.
inline constexpr size_t kDocumentsMax = 20;

// What the content says it is by its first bytes: application/pdf, image/png or image/jpeg; empty: none of these.
std::string_view MediaTypeOf(std::string_view content);
// The content's type, if it was sent as nothing else; what was sent as bytes of no known type is what it is.
// Errors: UNSUPPORTED_MEDIA_TYPE.
Result<std::string_view> CheckContent(std::string_view content, std::string_view content_type,
                                      std::string_view pointer);
// A name in no folder, which every system and header can hold. Errors: INVALID_FORMAT.
Result<void> CheckFileName(std::string_view name, std::string_view pointer);

enum class DocumentAct { kUpload, kDelete };
// Whether an organization's documents may be added to or taken from. Errors: STATE_CONFLICT.
Result<void> CheckDocumentAct(State organization, DocumentAct act);

}  // namespace millrace::identity::domain
