// SPDX-License-Identifier: Apache-2.0
// The audit log: acts out of every service's log, put behind one another.
#include "services/identity/store/audit.h"

#include <charconv>

#include "common/crypto/crypto.h"
#include "common/rpc/page.h"
#include "services/identity/app/identity.h"
#include "services/identity/app/wire.h"
#include "services/identity/store/reads.h"

namespace millrace::identity {
namespace {

v1::AuditEntry Present(const AuditRow& row) {
  events::v1::Act act;
  act.ParseFromString(row.act);
  v1::AuditEntry entry;
  entry.set_seq(row.seq);
  SetTime(entry.mutable_time(), row.time);
  entry.set_source(row.source);
  entry.set_source_seq(row.source_seq);
  entry.set_event_id(row.event_id);
  entry.set_method(act.method());
  entry.set_organization_id(act.organization_id());
  entry.set_actor(act.actor());
  entry.set_member_id(act.member_id());
  entry.mutable_roles()->CopyFrom(act.roles());
  entry.set_subject(act.subject());
  entry.set_request(act.request());
  entry.set_request_id(act.request_id());
  entry.set_approval_id(act.approval_id());
  entry.set_prev_hash(crypto::Hex(row.prev_hash));
  entry.set_hash(crypto::Hex(row.hash));
  return entry;
}

v1::AuditHead Present(const AuditEnd& end) {
  v1::AuditHead head;
  head.set_seq(end.seq);
  head.set_hash(crypto::Hex(end.hash));
  return head;
}

// 32 bytes of 64 hexadecimal digits; empty if the text is none.
std::string Unhex(const std::string& text) {
  if (text.size() != 64) return {};
  std::string bytes;
  for (size_t i = 0; i < text.size(); i += 2) {
    int value = 0;
    auto [end, fault] = std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
    if (fault != std::errc() || end != text.data() + i + 2) return {};
    bytes += static_cast<char>(value);
  }
  return bytes;
}

}  // namespace

void Identity::NeedForAudit(IdentitySet& set, const events::v1::Event& event) {
  if (event.type() != kActEvent) return;
  set.want_audit = true;
  events::v1::Act act;
  act.ParseFromString(event.payload());
  Uuid approval = IdOrNil(act.approval_id());
  if (!approval.IsNil()) set.want_approvals.insert(approval);
}

Result<void> Identity::ApplyToAudit(IdentitySet& set, const events::v1::Event& event) {
  if (event.type() != kActEvent) return {};
  AuditRow row;
  row.time = ReadTime(event.time());
  row.source = event.source();
  row.source_seq = event.seq();
  row.event_id = event.id();
  row.act = event.payload();
  events::v1::Act act;
  act.ParseFromString(row.act);
  row.organization = IdOrNil(act.organization_id());
  MarkUsed(set, act, row.time);
  Chain(set.audit_end, row);
  set.new_audit.push_back(std::move(row));
  return {};
}

Task<Result<v1::ListAuditLogResponse>> Identity::ListAuditLog(CallContext context, v1::ListAuditLogRequest request) {
  std::string filter = context.organization.Hex() + (context.IsOperator() ? " audit of all" : " audit");
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Asker asker = Asker::Of(context);
  int64_t before = page.after.IsNil() ? 0 : rpc::NumberOf(page.after);
  int rows = page.size + 1;
  Result<std::vector<AuditRow>> read =
      co_await ReadAudit(reader_, asker.organization, std::move(asker.roles), before, rows);
  MILLRACE_CO_TRY(std::vector<AuditRow> found, std::move(read));
  v1::ListAuditLogResponse response;
  for (const AuditRow& row : found) {
    if (response.data_size() == page.size) {
      response.set_next_page_token(rpc::NextPageToken(rpc::PlaceOf(response.data(page.size - 1).seq()), filter));
      break;
    }
    *response.add_data() = Present(row);
  }
  co_return std::move(response);
}

Task<Result<v1::AuditHead>> Identity::GetAuditHead(CallContext, v1::GetAuditHeadRequest) {
  Result<AuditEnd> read = co_await ReadAuditEnd(worker_);
  MILLRACE_CO_TRY(AuditEnd end, std::move(read));
  co_return Present(end);
}

Task<Result<v1::VerifyAuditLogResponse>> Identity::VerifyAuditLog(CallContext context,
                                                                  v1::VerifyAuditLogRequest request) {
  std::optional<AuditEnd> anchor;
  if (request.has_anchor()) {
    anchor = AuditEnd{request.anchor().seq(), Unhex(request.anchor().hash())};
    if (anchor->hash.empty() || anchor->seq < 0) {
      co_return Fail(Error::At("#/anchor/hash", ErrorCode::kInvalidFormat, {{"expected", "{seq, 64 x 0-9a-f}"}}));
    }
  }
  Time deadline = context.deadline;
  Result<AuditCheck> checked = co_await CheckAudit(worker_, std::move(anchor), deadline);
  MILLRACE_CO_TRY(AuditCheck check, std::move(checked));
  v1::VerifyAuditLogResponse response;
  response.set_passed(check.broken_seq == 0);
  response.set_broken_seq(check.broken_seq);
  *response.mutable_head() = Present(check.end);
  co_return std::move(response);
}

}  // namespace millrace::identity
