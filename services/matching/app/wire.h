// SPDX-License-Identifier: Apache-2.0
// Between the contract's messages and the rules' types.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include "millrace/listing/v1/listing.pb.h"
#include "millrace/matching/v1/matching.pb.h"
#include "millrace/operations/v1/operations.pb.h"
#include "services/matching/domain/match.h"

namespace millrace::matching {

void SetTime(google::protobuf::Timestamp* out, Time time);
Time ReadTime(const google::protobuf::Timestamp& timestamp);

domain::Offer ToOffer(const listing::v1::Bookable& bookable);
std::vector<Uuid> ParentsOf(const listing::v1::Bookable& bookable);
// The legs that still keep capacity.
std::vector<domain::Leg> ToLegs(const operations::v1::Booking& booking);
// Of a stored demand: place in WGS 84, what was understood standing in for empty lists.
domain::Need ToNeed(const v1::Demand& demand);
v1::MatchDemandResponse ToMessage(const domain::MatchResult& result, const domain::Need& need);
// A stored demand as an answer: with its version and what may be done with it.
v1::Demand Present(v1::Demand message, int64_t version);
// What title and text name.
v1::Understood Understand(const v1::Demand& demand);

}  // namespace millrace::matching
