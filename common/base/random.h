// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace millrace {

// Random bytes for ids and traces, from the operating system's generator by way of a buffer of the thread's: a system
// call for every few hundred ids. Not for secrets (crypto::RandomBytes), which must not wait in memory. Ends the program
// if the generator fails. A forked child must exec.
void FillRandom(void* bytes, size_t count);

}  // namespace millrace
