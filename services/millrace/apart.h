// SPDX-License-Identifier: Apache-2.0
// How roles that run apart know each other: certificates of the instance's own authority.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "common/rpc/channel.h"
#include "common/runtime/settings.h"

namespace millrace {

// What the settings internal_* give a process.
rpc::Access AccessOf(const runtime::Settings& settings);

// Faults of the settings of roles that run apart: certificates that are missing where an address is no loopback, that
// do not belong together, that are over or that do not name the process's roles; without any, a missing token.
void CheckApart(const runtime::Settings& settings, const std::set<std::string>& roles,
                const std::vector<std::string>& services, std::vector<std::string>* faults);

// `millrace certificates`: brings a folder up to date with an authority and a pair for each role (in `together`:
// "money=escrow,credit" makes one pair for a process of both). Returns the exit status.
int MakeCertificates(const std::string& folder, const std::vector<std::string>& together, int days);

}  // namespace millrace
