// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "services/millrace/client.h"
#include "services/millrace/dev/dev.h"

namespace millrace {

// One whole trade over HTTP against a running test instance: published, matched, booked, paid into custody, worked,
// accepted, released and rated. Prints each call with a readable answer; `json` prints the answers whole. The exit
// status: 1 at the first step that does not come out as it must.
int Demo(const dev::Instance& instance, bool json);

// Asks the ledger for its checks and prints them, with `json` as the API answers. The exit status: 1 if one does not
// hold, 4 if the caller may not ask.
int Verify(const ApiClient& client, bool json);

}  // namespace millrace
