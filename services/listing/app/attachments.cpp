// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/crypto.h"
#include "services/listing/app/service.h"

namespace millrace::listing {

Task<Result<v1::Attachment>> ListingService::CreateAttachment(CallContext context,
                                                              v1::CreateAttachmentRequest request) {
  if (request.file().data().size() > limits::kAttachmentBytes) {
    ErrorParams params;
    params["max"] = std::to_string(limits::kAttachmentBytes);
    co_return Fail(ErrorCode::kPayloadTooLarge, std::move(params));
  }
  AttachmentRow row;
  row.size = static_cast<int64_t>(request.file().data().size());
  row.content_type = request.file().content_type();
  if (row.content_type.empty()) row.content_type = "application/octet-stream";
  if (context.validate_only) {
    v1::Attachment message;
    message.set_sha256(crypto::Hex(crypto::Sha256(request.file().data())));
    message.set_size(row.size);
    message.set_content_type(row.content_type);
    co_return std::move(message);
  }
  // First the bytes, then the row that names them: a row never points at nothing.
  Result<std::string> sha256 = co_await blobs_.Put(std::move(*request.mutable_file()->mutable_data()));
  if (!sha256) co_return std::unexpected<Error>(std::move(sha256).error());
  row.sha256 = *sha256;
  Result<void> kept = co_await reads_.KeepAttachment(context.organization, row);
  if (!kept) co_return std::unexpected<Error>(std::move(kept).error());
  v1::Attachment message;
  message.set_sha256(row.sha256);
  message.set_size(row.size);
  message.set_content_type(row.content_type);
  co_return std::move(message);
}

Task<Result<google::api::HttpBody>> ListingService::GetAttachment(CallContext context,
                                                                  v1::GetAttachmentRequest request) {
  Result<AttachmentRow> row = co_await reads_.Attachment(context, request.sha256());
  if (!row) co_return std::unexpected<Error>(std::move(row).error());
  Result<std::string> bytes = co_await blobs_.Get(row->sha256);
  if (!bytes) co_return std::unexpected<Error>(std::move(bytes).error());
  HttpBody body;
  body.set_content_type(row->content_type);
  body.set_data(std::move(*bytes));
  co_return std::move(body);
}

}  // namespace millrace::listing
