// SPDX-License-Identifier: Apache-2.0
// What organizations prove themselves with: sent, seen, removed, and asked for before they are verified.
#include "common/base/limits.h"
#include "common/base/words.h"
#include "common/crypto/crypto.h"
#include "common/rpc/page.h"
#include "services/identity/app/identity.h"
#include "services/identity/app/wire.h"
#include "services/identity/domain/document.h"
#include "services/identity/store/reads.h"

namespace millrace::identity {
namespace {

using Set = IdentitySet;
using Command = postgres::Command<IdentitySet>;

v1::Document Present(v1::Document message) {
  message.set_etag("1");
  return message;
}

Result<domain::State> StateOf(const Set& set, const Uuid& organization) {
  auto found = set.organizations.find(organization);
  if (found == set.organizations.end()) return Fail(ErrorCode::kNotFound);
  return static_cast<domain::State>(found->second.message.state());
}

// Adds a document; the answer's bytes.
Result<std::string> Add(Set& set, const Uuid& id, const Uuid& organization, const v1::Document& content) {
  MILLRACE_TRY(domain::State state, StateOf(set, organization));
  MILLRACE_CHECK(domain::CheckDocumentAct(state, domain::DocumentAct::kUpload));
  size_t there = 0;
  for (const auto& [other, row] : set.documents) there += row.organization == organization && !row.gone;
  if (there >= domain::kDocumentsMax) {
    return Fail(Error::At("#/file", ErrorCode::kTooLong,
                          {{"field", "documents"}, {"max", std::to_string(domain::kDocumentsMax)}}));
  }
  DocumentRow& row = set.documents[id];
  row = {id, organization, content, set.now, true};
  row.message.set_id(FormatId("doc", id));
  row.message.set_organization_id(FormatId("org", organization));
  SetTime(row.message.mutable_create_time(), set.now);
  NotePapers(set, organization);
  return Present(row.message).SerializeAsString();
}

}  // namespace

Task<Result<v1::Document>> Identity::CreateDocument(CallContext context, v1::CreateDocumentRequest request) {
  auto bytes = std::make_shared<std::string>(std::move(*request.mutable_file()->mutable_data()));
  if (bytes->size() > limits::kDocumentBytes)
    co_return Fail(ErrorCode::kPayloadTooLarge, {{"max", std::to_string(limits::kDocumentBytes)}});
  MILLRACE_CO_CHECK(domain::CheckFileName(request.file_name(), "#/file_name"));
  MILLRACE_CO_TRY(std::string_view type, domain::CheckContent(*bytes, request.file().content_type(), "#/file"));
  v1::Document content;
  content.set_kind(request.kind());
  content.set_file_name(request.file_name());
  content.set_content_type(std::string(type));
  content.set_size(static_cast<int64_t>(bytes->size()));
  content.set_sha256(crypto::Hex(crypto::Sha256(*bytes)));
  bool only_check = context.validate_only;
  if (!only_check) {
    // First the bytes, then the row that names them: a row never points at nothing.
    Result<void> kept = co_await KeepContent(bytes);
    if (!kept) co_return std::unexpected<Error>(std::move(kept).error());
  }
  Uuid id = Uuid::New(), asking = context.organization;
  Command command;
  command.header = postgres::CommandHeader::Of(context, "CreateDocument");
  command.need = [asking](Set& set) {
    set.want_organizations.insert(asking);
    set.want_documents_of.insert(asking);
  };
  command.decide = [id, asking, content](Set& set) { return Add(set, id, asking, content); };
  std::shared_ptr<ReplyInfo> reply = context.reply;
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  // Of an unknown outcome the bytes stay: the row may be there.
  auto unknown = [](ErrorCode code) { return code == ErrorCode::kUnavailable || code == ErrorCode::kInternal; };
  if (!only_check && (outcome || !unknown(outcome.error().code))) {
    // Whoever was removing the same content did not see the new row before; now it does. Without a new row it may go
    // again.
    bool named = outcome && !reply->replayed;
    Result<void> settled = co_await SettleContent(bytes, content.sha256(), named);
    if (outcome && !settled) co_return std::unexpected<Error>(std::move(settled).error());
  }
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::Document document;
  document.ParseFromString(*outcome);
  reply->etag = document.etag();
  co_return std::move(document);
}

Task<Result<void>> Identity::KeepContent(std::shared_ptr<std::string> bytes) {
  std::string copy = *bytes;
  Result<std::string> kept = co_await documents_.Put(std::move(copy));
  if (!kept) co_return std::unexpected<Error>(std::move(kept).error());
  co_return Result<void>();
}

Task<Result<void>> Identity::SettleContent(std::shared_ptr<std::string> bytes, std::string sha256, bool named) {
  Result<void> settled;
  if (named) {
    settled = co_await KeepContent(bytes);
  } else {
    settled = co_await ForgetContent(std::move(sha256));
  }
  co_return std::move(settled);
}

Task<Result<void>> Identity::ForgetContent(std::string sha256) {
  Result<bool> named = co_await IsContentNamed(worker_, sha256);
  if (!named) co_return std::unexpected<Error>(std::move(named).error());
  if (!*named) {
    // Aside first, then a second look: a row that came meanwhile is seen, or who made it misses the content and puts it
    // back.
    Result<void> aside = co_await documents_.SetAside(sha256);
    if (!aside) co_return std::move(aside);
    named = co_await IsContentNamed(worker_, sha256);
    if (!named) co_return std::unexpected<Error>(std::move(named).error());
  }
  bool keep = *named;
  Result<void> done = co_await documents_.Settle(std::move(sha256), keep);
  co_return std::move(done);
}

Task<Result<void>> Identity::ForgetDocument(tasks::DueTask task) {
  Result<void> forgotten = co_await ForgetContent(task.payload);
  if (!forgotten) co_return std::move(forgotten);
  Command command;
  postgres::EndedTask ended = task.Ended();
  command.header.method = kForgetDocumentTask;
  command.decide = [ended](Set& set) -> Result<std::string> {
    set.ended_tasks.push_back(ended);
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

Task<Result<v1::DeleteDocumentResponse>> Identity::DeleteDocument(CallContext context,
                                                                  v1::DeleteDocumentRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("doc", request.id()));
  Uuid asking = context.organization;
  Command command;
  command.header = postgres::CommandHeader::Of(context, "DeleteDocument");
  command.need = [asking](Set& set) {
    set.want_organizations.insert(asking);
    set.want_documents_of.insert(asking);
  };
  command.decide = [id, asking, if_match = context.if_match](Set& set) -> Result<std::string> {
    auto found = set.documents.find(id);
    bool own = found != set.documents.end() && found->second.organization == asking && !found->second.gone;
    if (!own) return Fail(ErrorCode::kNotFound);
    if (if_match != "*" && if_match != "1") return Fail(ErrorCode::kEtagMismatch);
    MILLRACE_TRY(domain::State state, StateOf(set, asking));
    MILLRACE_CHECK(domain::CheckDocumentAct(state, domain::DocumentAct::kDelete));
    found->second.gone = true;
    NotePapers(set, asking);
    set.tasks.push_back({crypto::DeriveId(id, kForgetDocumentTask), std::string(kForgetDocumentTask), id, set.now,
                         found->second.message.sha256()});
    return std::string();
  };
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return v1::DeleteDocumentResponse();
}

Task<Result<v1::Document>> Identity::GetDocument(CallContext context, v1::GetDocumentRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("doc", request.id()));
  Asker asker = Asker::Of(context);
  Result<std::vector<Found<v1::Document>>> read =
      co_await ReadDocuments(reader_, std::move(asker), id, Uuid(), Uuid(), 1);
  MILLRACE_CO_TRY(std::vector<Found<v1::Document>> found, std::move(read));
  if (found.empty()) co_return Fail(ErrorCode::kNotFound);
  v1::Document document = Present(std::move(found.front().message));
  context.reply->etag = document.etag();
  co_return std::move(document);
}

Task<Result<v1::ListDocumentsResponse>> Identity::ListDocuments(CallContext context, v1::ListDocumentsRequest request) {
  Uuid organization = context.IsOperator() ? Uuid() : context.organization;
  if (!request.organization_id().empty()) {
    MILLRACE_CO_TRY(organization, ParseId("org", request.organization_id(), "#/organization_id"));
    if (organization != context.organization && !context.IsOperator()) co_return Fail(ErrorCode::kNotFound);
  }
  std::string filter = context.organization.Hex() + " documents " + organization.Hex();
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Asker asker = Asker::Of(context);
  Uuid after = page.after;
  int rows = page.size + 1;
  Result<std::vector<Found<v1::Document>>> read =
      co_await ReadDocuments(reader_, std::move(asker), Uuid(), organization, after, rows);
  MILLRACE_CO_TRY(std::vector<Found<v1::Document>> found, std::move(read));
  auto present = [](auto& one) { return Present(std::move(one.message)); };
  co_return rpc::PageOf<v1::ListDocumentsResponse>(page, filter, found, present);
}

Task<Result<google::api::HttpBody>> Identity::GetDocumentContent(CallContext context,
                                                                 v1::GetDocumentContentRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("doc", request.id()));
  Asker asker = Asker::Of(context);
  Result<std::vector<Found<v1::Document>>> read =
      co_await ReadDocuments(reader_, std::move(asker), id, Uuid(), Uuid(), 1);
  MILLRACE_CO_TRY(std::vector<Found<v1::Document>> found, std::move(read));
  if (found.empty()) co_return Fail(ErrorCode::kNotFound);
  std::string sha256 = found.front().message.sha256();
  Result<std::string> bytes = co_await documents_.Get(std::move(sha256));
  // Aside for a moment, as the same content was removed elsewhere.
  if (!bytes && bytes.error().code == ErrorCode::kNotFound)
    co_return Fail(Error::Unavailable("no content of " + request.id()));
  if (!bytes) co_return std::unexpected<Error>(std::move(bytes).error());
  // A read changes nothing, but it is an act: nobody sees a document without an entry of it.
  Command command;
  command.header = postgres::CommandHeader::Of(context, "GetDocumentContent");
  command.header.key.clear();
  command.decide = [](Set&) -> Result<std::string> { return std::string(); };
  Result<std::string> noted = co_await Run(std::move(context), std::move(command));
  if (!noted) co_return std::unexpected<Error>(std::move(noted).error());
  google::api::HttpBody body;
  body.set_content_type(found.front().message.content_type());
  body.set_data(*std::move(bytes));
  co_return std::move(body);
}

Result<void> Identity::CheckDocuments(const IdentitySet& set, const Uuid& organization) const {
  std::set<std::string> missing = config_.verification_documents;
  for (const auto& [id, row] : set.documents) {
    if (row.organization == organization && !row.gone) missing.erase(v1::Document::Kind_Name(row.message.kind()));
  }
  if (missing.empty()) return {};
  return Fail(ErrorCode::kDocumentsMissing, {{"missing", JoinWords(missing, ", ")}});
}

}  // namespace millrace::identity
