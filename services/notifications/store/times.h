// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/base/time.h"
#include "google/protobuf/timestamp.pb.h"

namespace millrace::notifications {

inline void SetTime(Time time, google::protobuf::Timestamp* out) {
  int64_t micros = Micros(time);
  out->set_seconds(micros / 1'000'000);
  out->set_nanos(static_cast<int32_t>(micros % 1'000'000) * 1000);
}

inline Time ReadTime(const google::protobuf::Timestamp& timestamp) {
  return FromMicros(timestamp.seconds() * 1'000'000 + timestamp.nanos() / 1000);
}

}  // namespace millrace::notifications
