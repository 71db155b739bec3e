// SPDX-License-Identifier: Apache-2.0
// What a resource and a listing must be, beyond the fields' own rules.
#pragma once

#include <vector>

#include "common/base/result.h"
#include "millrace/listing/v1/listing.pb.h"

namespace millrace::listing {

// REQUIRED (a name), WRONG_TYPE (attributes of another kind), OUT_OF_RANGE (place). `pointer` is the resource's.
std::vector<Violation> CheckResource(const v1::Resource& resource, const std::string& pointer);
// UNKNOWN_PROCESS, UNKNOWN_MATERIAL, faults of calendar and price plan. `pointer` is the listing's.
std::vector<Violation> CheckListing(const v1::Listing& listing, const std::string& pointer);
// What publication asks for and is not there: "capability.processes, calendar, price_plan"; empty: complete.
std::string Missing(const v1::Listing& listing);
// Positions of Chinese maps to WGS 84; afterwards coordinate_system says WGS84.
void ToWgs84(type::Place* place);
// Nothing, or the violations as one error.
Result<void> Refuse(std::vector<Violation> violations);

}  // namespace millrace::listing
