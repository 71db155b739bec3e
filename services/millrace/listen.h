// SPDX-License-Identifier: Apache-2.0
// Events at a terminal: forwarded to a receiver under development, or printed.
#pragma once

#include <string>
#include <vector>

namespace millrace {

// `listen --forward-to URL`: sends each event of the caller's stream there as a webhook, signed as Standard Webhooks
// want it, and prints a line with the receiver's status. It does not send again what the receiver refuses.
int RunListen(std::vector<std::string> arguments);

// `events tail`: prints the caller's events as they happen.
int RunTail(std::vector<std::string> arguments);

}  // namespace millrace
