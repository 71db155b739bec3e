// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "common/base/result.h"
#include "services/millrace/client.h"

namespace millrace {

// Loads the sample catalogue (deploy/local/sample, in the binary) through the public API: registers and verifies the
// sample enterprises, imports their resources and publishes a listing for each. `client` holds the operator's key.
// Returns a sentence for people; empty if the instance has the sample already. Errors: INTERNAL with a cause that names
// the first refusal.
Result<std::string> LoadSampleCatalogue(const ApiClient& client);

}  // namespace millrace
