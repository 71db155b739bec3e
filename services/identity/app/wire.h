// SPDX-License-Identifier: Apache-2.0
// Between rows and the contract's messages.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include "common/base/time.h"
#include "services/identity/store/identity_set.h"

namespace millrace::identity {

void SetTime(google::protobuf::Timestamp* out, Time time);
Time ReadTime(const google::protobuf::Timestamp& timestamp);

// A stored message as an answer: with its version and, for an organization, what may be done with it now.
v1::Organization Present(v1::Organization message, int64_t version);
v1::Site Present(v1::Site message, int64_t version);
// Without the secret.
v1::ApiKey Present(const KeyRow& key);

// The papers of an organization changed: as long as it is PENDING that is a change of itself, so that an operator who
// decides on the version that was read decides on the papers that were read.
void NotePapers(IdentitySet& set, const Uuid& organization);

}  // namespace millrace::identity
