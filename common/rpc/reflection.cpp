// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>

#include "common/rpc/grpc.h"

namespace millrace::rpc {
namespace {

namespace wire = grpc::reflection::v1alpha;
using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;
using google::protobuf::FileDescriptorProto;
using google::protobuf::ServiceDescriptor;

constexpr const char* kAlpha = "grpc.reflection.v1alpha.ServerReflection";
constexpr const char* kStable = "grpc.reflection.v1.ServerReflection";
constexpr const char* kHealth = "grpc.health.v1.Health";

const DescriptorPool& Pool() { return *DescriptorPool::generated_pool(); }

void SetError(wire::ServerReflectionResponse* response, const std::string& what) {
  response->mutable_error_response()->set_error_code(static_cast<int>(grpc::StatusCode::NOT_FOUND));
  response->mutable_error_response()->set_error_message(what + " is not known here");
}

// Answers one question after another; a stream ends when its client has no more.
class Conversation final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Conversation(const PublicContract& contract) : contract_(contract) { StartRead(&question_); }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    wire::ServerReflectionRequest request;
    if (!FromBuffer(&question_, &request)) {
      return Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the message is no ServerReflectionRequest"));
    }
    question_.Clear();
    answer_ = ToBuffer(contract_.Answer(request));
    StartWrite(&answer_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "canceled"));
    StartRead(&question_);
  }
  void OnDone() override { delete this; }

 private:
  const PublicContract& contract_;
  grpc::ByteBuffer question_, answer_;
};

}  // namespace

PublicContract::PublicContract(const std::vector<const FileDescriptor*>& files,
                               const std::function<bool(const MethodDescriptor*)>& serves)
    : serves_(serves) {
  for (const FileDescriptor* file : files) {
    for (int i = 0; i < file->service_count(); ++i) {
      const ServiceDescriptor* service = file->service(i);
      bool any = false;
      for (int k = 0; k < service->method_count(); ++k) any = any || serves(service->method(k));
      if (!any) continue;
      services_.push_back(service->full_name());
      Add(file, serves);
    }
  }
  std::ranges::sort(services_);
}

void PublicContract::Add(const FileDescriptor* file, const std::function<bool(const MethodDescriptor*)>& serves) {
  if (files_.contains(file->name())) return;
  FileDescriptorProto proto;
  file->CopyTo(&proto);
  for (int i = file->service_count() - 1; i >= 0; --i) {
    auto* methods = proto.mutable_service(i)->mutable_method();
    for (int k = file->service(i)->method_count() - 1; k >= 0; --k) {
      if (!serves(file->service(i)->method(k))) methods->DeleteSubrange(k, 1);
    }
    if (methods->empty()) proto.mutable_service()->DeleteSubrange(i, 1);
  }
  files_[file->name()] = proto.SerializeAsString();
  for (int i = 0; i < file->dependency_count(); ++i) Add(file->dependency(i), serves);
}

const FileDescriptor* PublicContract::FileOf(const std::string& symbol) const {
  if (const MethodDescriptor* method = Pool().FindMethodByName(symbol); method && !serves_(method)) return nullptr;
  if (Pool().FindServiceByName(symbol) && std::ranges::find(services_, symbol) == services_.end()) return nullptr;
  const FileDescriptor* file = Pool().FindFileContainingSymbol(symbol);
  return file && files_.contains(file->name()) ? file : nullptr;
}

wire::ServerReflectionResponse PublicContract::Answer(const wire::ServerReflectionRequest& request) const {
  wire::ServerReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  auto give = [&](const FileDescriptor* file, const std::string& what) {
    auto found = file ? files_.find(file->name()) : files_.end();
    if (found == files_.end()) return SetError(&response, what);
    response.mutable_file_descriptor_response()->add_file_descriptor_proto(found->second);
  };
  switch (request.message_request_case()) {
    case wire::ServerReflectionRequest::kFileByFilename:
      give(Pool().FindFileByName(request.file_by_filename()), request.file_by_filename());
      break;
    case wire::ServerReflectionRequest::kFileContainingSymbol:
      give(FileOf(request.file_containing_symbol()), request.file_containing_symbol());
      break;
    case wire::ServerReflectionRequest::kFileContainingExtension: {
      const auto& wanted = request.file_containing_extension();
      const auto* type = Pool().FindMessageTypeByName(wanted.containing_type());
      const auto* extension = type ? Pool().FindExtensionByNumber(type, wanted.extension_number()) : nullptr;
      give(extension ? extension->file() : nullptr, wanted.containing_type());
      break;
    }
    case wire::ServerReflectionRequest::kAllExtensionNumbersOfType: {
      const std::string& name = request.all_extension_numbers_of_type();
      const auto* type = Pool().FindMessageTypeByName(name);
      if (!type || !files_.contains(type->file()->name())) {
        SetError(&response, name);
        break;
      }
      std::vector<const google::protobuf::FieldDescriptor*> extensions;
      Pool().FindAllExtensions(type, &extensions);
      response.mutable_all_extension_numbers_response()->set_base_type_name(name);
      for (const auto* extension : extensions) {
        if (!files_.contains(extension->file()->name())) continue;
        response.mutable_all_extension_numbers_response()->add_extension_number(extension->number());
      }
      break;
    }
    case wire::ServerReflectionRequest::kListServices:
      for (const std::string& name : services_)
        response.mutable_list_services_response()->add_service()->set_name(name);
      for (const char* name : {kHealth, kStable, kAlpha}) {
        response.mutable_list_services_response()->add_service()->set_name(name);
      }
      break;
    default:
      SetError(&response, "a question without content");
  }
  return response;
}

bool IsReflection(const std::string& path) {
  for (const char* service : {kAlpha, kStable}) {
    if (path == "/" + std::string(service) + "/ServerReflectionInfo") return true;
  }
  return false;
}

grpc::ServerGenericBidiReactor* ServeReflection(const PublicContract& contract) { return new Conversation(contract); }

}  // namespace millrace::rpc
