// SPDX-License-Identifier: Apache-2.0
// What escrow hears: a provider's tier from credit, names and suspensions from identity.
#pragma once

#include "common/events/consumer.h"
#include "services/escrow/store/escrow_set.h"

namespace millrace::escrow {

void NeedForEvent(EscrowSet& set, const events::v1::Event& event);
// Events of other types have no effect. Errors: INTERNAL (a payload that can't be read).
Result<void> ApplyEvent(EscrowSet& set, const events::v1::Event& event);

}  // namespace millrace::escrow
