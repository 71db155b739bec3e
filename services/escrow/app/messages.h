// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "millrace/escrow/v1/escrow.pb.h"
#include "services/escrow/store/escrow_set.h"

namespace millrace::escrow {

// "MR…" of an organization; always the same.
std::string ReferenceOf(const Uuid& organization);

// Who reads: what a buyer still has to bring tells its balance, so the provider and the event log do not see it.
struct Audience {
  bool sees_missing = false;
  std::string custodian;  // the adapter's id
};
v1::Escrow ToMessage(const domain::Escrow& escrow, const Audience& audience);
v1::Transfer ToMessage(const domain::Transfer& transfer);

// Makes events and timers of what the command's decision left in the book, and empties it there.
void Publish(EscrowSet& set, const std::string& custodian);

// Tasks of an escrow.
Uuid ExpireTask(const Uuid& escrow);
Uuid PayOutTask(const Uuid& escrow);
// The id of its nth instruction to pay, from 1; a retry of the same attempt makes the same.
Uuid InstructionId(const Uuid& escrow, int attempt);
std::string FormatInstruction(const Uuid& instruction);  // "pyo_…", as the custodian knows it

}  // namespace millrace::escrow
