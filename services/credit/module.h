// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>

#include "common/base/embedded_file.h"
#include "common/runtime/module.h"

namespace millrace::credit {

std::unique_ptr<runtime::Module> MakeModule(runtime::Environment& environment);
std::span<const EmbeddedFile> Migrations();

}  // namespace millrace::credit
