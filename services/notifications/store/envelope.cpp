// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/store/envelope.h"

#include <google/protobuf/descriptor.h>

#include <map>

#include "common/http/json.h"
#include "google/api/annotations.pb.h"
#include "millrace/type/options.pb.h"
#include "services/notifications/store/times.h"

namespace millrace::notifications {
namespace {

constexpr char kTypeUrl[] = "type.googleapis.com/";
using Collections = std::map<std::string, std::string, std::less<>>;

// Adds what the method tells: "GET /v1/bookings/{id}" with an id of the prefix bkg puts those into bookings.
void AddCollection(const google::protobuf::MethodDescriptor* method, Collections* collections) {
  constexpr std::string_view kBegin = "/v1/", kEnd = "/{id}";
  const std::string& path = method->options().GetExtension(google::api::http).get();
  const auto* id = method->input_type()->FindFieldByName("id");
  if (!id || !path.starts_with(kBegin) || !path.ends_with(kEnd)) return;
  std::string name = path.substr(kBegin.size(), path.size() - kBegin.size() - kEnd.size());
  const std::string& prefix = id->options().GetExtension(type::field).id();
  if (name.empty() || prefix.empty() || name.find('/') != name.npos) return;
  collections->emplace(prefix, std::move(name));
}

const Collections& AllCollections() {
  static const Collections all = [] {
    Collections collections;
    auto add = [&](const std::string& name) {
      const auto* file = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(name);
      for (int i = 0; file && i < file->service_count(); ++i) {
        for (int k = 0; k < file->service(i)->method_count(); ++k)
          AddCollection(file->service(i)->method(k), &collections);
      }
    };
    for (std::string service : kSources) add("millrace/" + service + "/v1/" + service + ".proto");
    // Files beside a service's main one whose objects have events.
    for (const char* name : {"approvals", "members", "register"}) add(std::string("millrace/identity/v1/") + name + ".proto");
    return collections;
  }();
  return all;
}

}  // namespace

v1::FeedEvent Envelope(const KeptEvent& event, const Uuid& receiver) {
  v1::FeedEvent out;
  out.set_specversion("1.0");
  out.set_id(FormatId("evt", event.id));
  out.set_source("/orgs/" + FormatId("org", receiver));
  out.set_type(event.type);
  SetTime(event.time, out.mutable_time());
  SetTime(event.time, out.mutable_timestamp());
  out.set_subject(SubjectPath(event.subject));
  out.set_subjectversion(event.subject_version);
  out.set_datacontenttype("application/json");
  if (!event.payload_type.empty()) {
    out.mutable_data()->set_type_url(kTypeUrl + event.payload_type);
    out.mutable_data()->set_value(event.payload);
  }
  out.set_seq(event.seq);
  return out;
}

std::string SubjectPath(std::string_view id) {
  auto found = AllCollections().find(id.substr(0, id.find('_')));
  return (found == AllCollections().end() ? "" : found->second + "/") + std::string(id);
}

std::string SubjectId(std::string_view path) {
  size_t slash = path.rfind('/');
  return std::string(slash == path.npos ? path : path.substr(slash + 1));
}

void BoundPayload(std::string_view subject, std::string* payload_type, std::string* payload) {
  google::protobuf::Any any;
  any.set_type_url(kTypeUrl + *payload_type);
  any.set_value(*payload);
  if (http::WriteJson(any).size() < kPayloadJsonBytes) return;
  v1::TruncatedData instead;
  instead.set_id(std::string(subject));
  instead.set_data_truncated(true);
  *payload_type = instead.GetDescriptor()->full_name();
  *payload = instead.SerializeAsString();
}

}  // namespace millrace::notifications
