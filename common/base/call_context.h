// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "common/base/error.h"
#include "common/base/id.h"
#include "common/base/time.h"

namespace millrace {

// What the transport tells the caller beside the response.
struct ReplyInfo {
  bool replayed = false;  // the response is a stored one (Idempotent-Replayed: true)
  std::string etag;       // strong tag of the returned object's version, without quotes; empty if it has none
};

// Who calls, and how. Made by the gateway from the credential, carried between services as millrace.runtime.v1.CallContext.
struct CallContext {
  Uuid organization;             // nil: not authenticated, or a service on its own behalf
  std::string actor;             // key id "key_…", or "service:operations"
  Uuid member;                   // the person whose credential it is; nil: none's
  std::set<std::string> roles;   // provider, buyer, operator, regulator, admin, service
  std::set<std::string> scopes;  // "bookings:write", "*:read"; empty: all that the roles allow. The edge checks them
  bool organization_verified = false;
  std::string request_id;       // req_…
  std::string traceparent;      // W3C trace context
  Time deadline = Time::max();  // wall time
  std::string idempotency_key;  // empty: none given
  std::string fingerprint;      // 32 bytes: SHA-256 of method and request; set where the request is dispatched
  std::string if_match;         // etag without quotes, "*", or empty
  bool validate_only = false;
  std::string act;  // a serialized events.v1.Act, set where the request is dispatched if the audit log wants it
  Language language = Language::kZh;
  std::map<std::string, std::string> headers;  // lower-case names; only on routes that check a signature
  std::string raw_body;                        // likewise: the bytes as they came
  std::shared_ptr<ReplyInfo> reply = std::make_shared<ReplyInfo>();

  bool Has(std::string_view role) const { return roles.contains(std::string(role)); }
  bool IsOperator() const { return Has("operator"); }
  bool IsService() const { return Has("service"); }
  // The context of a service that acts for itself: no organization, role "service".
  static CallContext ForService(std::string_view service, std::string_view traceparent = {});
};

}  // namespace millrace
