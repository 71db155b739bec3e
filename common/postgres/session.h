// SPDX-License-Identifier: Apache-2.0
// What every session has in common, whatever library opened it. Only files of this folder include it.
#pragma once

#include <string>
#include <string_view>

#include "common/postgres/database.h"

namespace millrace::postgres {

// The statements that a new session begins with; `quote` makes an identifier of a name.
template <class Quote>
std::string SessionSetup(const DatabaseOptions& options, Quote quote) {
  std::string setup = "SET statement_timeout = " + std::to_string(options.statement_timeout_ms);
  setup += "; SET client_min_messages = warning";
  // Short statements only: compiling a plan costs each new session far more than it can save (PostgreSQL's costs run high
  // on tables without statistics).
  setup += "; SET jit = off";
  if (!options.role.empty()) setup += "; SET ROLE " + quote(options.role);
  if (!options.schema.empty()) setup += "; SET search_path = " + quote(options.schema);
  return setup;
}

// Whether an error ends the session. Class 57P: the server is going down or has ended it; 08: the connection; 25006: it
// is no primary any more.
inline bool EndsSession(std::string_view sqlstate) {
  return sqlstate.starts_with("57P") || sqlstate.starts_with("08") || sqlstate == "25006";
}

}  // namespace millrace::postgres
