// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include "common/base/time.h"

namespace millrace::credit {

inline void PutTime(Time time, google::protobuf::Timestamp* out) {
  int64_t micros = Micros(time);
  int64_t seconds = micros >= 0 ? micros / 1'000'000 : (micros - 999'999) / 1'000'000;
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>((micros - seconds * 1'000'000) * 1000));
}

inline Time TakeTime(const google::protobuf::Timestamp& time) {
  return FromMicros(time.seconds() * 1'000'000 + time.nanos() / 1000);
}

}  // namespace millrace::credit
