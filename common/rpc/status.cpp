// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/status.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "millrace/type/error.pb.h"

namespace millrace::rpc {
namespace {

constexpr int kCanceled = 1;
constexpr int kDeadlineExceeded = 4;
constexpr int kUnavailable = 14;

type::ErrorDetail ToDetail(const Error& error) {
  type::ErrorDetail detail;
  detail.set_code(std::string(Name(error.code)));
  detail.mutable_params()->insert(error.params.begin(), error.params.end());
  detail.mutable_extensions()->insert(error.extensions.begin(), error.extensions.end());
  for (const Violation& violation : error.violations) {
    type::ErrorDetail::Violation& out = *detail.add_violations();
    out.set_pointer(violation.pointer);
    out.set_code(std::string(Name(violation.code)));
    out.mutable_params()->insert(violation.params.begin(), violation.params.end());
  }
  return detail;
}

Error FromDetail(const type::ErrorDetail& detail) {
  std::optional<ErrorCode> code = ErrorCodeByName(detail.code());
  if (!code) return Error::Internal("the other side's error code is not in the catalogue: " + detail.code());
  Error error(*code, ErrorParams(detail.params().begin(), detail.params().end()));
  error.extensions.insert(detail.extensions().begin(), detail.extensions().end());
  for (const type::ErrorDetail::Violation& violation : detail.violations()) {
    error.violations.push_back({violation.pointer(),
                                ErrorCodeByName(violation.code()).value_or(ErrorCode::kInvalidRequest),
                                ErrorParams(violation.params().begin(), violation.params().end())});
  }
  return error;
}

}  // namespace

WireStatus ToStatus(const Error& error) {
  const ErrorEntry& entry = Entry(error.code);
  google::rpc::Status status;
  status.set_code(entry.grpc_code);
  status.set_message(Detail(error.code, error.params, Language::kEn));
  status.add_details()->PackFrom(ToDetail(error));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(entry.name));
  info.set_domain("millrace");
  info.mutable_metadata()->insert(error.params.begin(), error.params.end());
  status.add_details()->PackFrom(info);
  return {entry.grpc_code, status.message(), status.SerializeAsString()};
}

Error FromStatus(const WireStatus& status) {
  google::rpc::Status carried;
  if (!status.details.empty() && carried.ParseFromString(status.details)) {
    for (const google::protobuf::Any& any : carried.details()) {
      type::ErrorDetail detail;
      if (any.Is<type::ErrorDetail>() && any.UnpackTo(&detail)) return FromDetail(detail);
    }
  }
  Error error(ErrorCode::kInternal);
  if (status.code == kDeadlineExceeded) error.code = ErrorCode::kDeadlineExceeded;
  if (status.code == kUnavailable || status.code == kCanceled) error.code = ErrorCode::kUnavailable;
  error.cause = "gRPC " + std::to_string(status.code) + ": " + status.message;
  return error;
}

}  // namespace millrace::rpc
