// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/base/call_context.h"
#include "common/base/words.h"
#include "common/postgres/transaction.h"

namespace millrace::postgres {

// The two parameters that every read for a caller begins with: the asking organization (NULL: none), and its roles by
// comma. The SQL function makes them the settings that the row-level policies look at.
inline Params Asking(const CallContext& context) {
  Params params;
  params.Id(context.organization).Text(JoinWords(context.roles));
  return params;
}

}  // namespace millrace::postgres
