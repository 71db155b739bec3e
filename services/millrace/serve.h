// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/embedded_file.h"
#include "common/runtime/settings.h"

namespace millrace {

// The services with a database, in the order in which they start.
const std::vector<std::string>& ServiceNames();
// The migration files of one of them, without the machinery that all have; none of an unknown one.
std::span<const EmbeddedFile> MigrationsOf(std::string_view service);

// Runs the roles that the settings name until a signal; returns the exit status.
int Serve(const runtime::Settings& settings);

// Brings every service's schema up to date; prints a line for each. Returns the exit status.
int MigrateAll(const std::string& database_url, bool quiet);

}  // namespace millrace
