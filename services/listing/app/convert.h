// SPDX-License-Identifier: Apache-2.0
// Rows as the contract's messages.
#pragma once

#include "services/listing/store/rows.h"

namespace millrace::listing {

void SetTime(Time time, google::protobuf::Timestamp* message);
v1::Resource ToMessage(const ResourceRow& row);
// With the verbs possible now, for the provider and the operator; other readers get none.
v1::Listing ToMessage(const ListingRow& row, bool with_actions);
v1::Bookable ToBookable(const ListingRow& listing, const ResourceRow* resource);
// The first 20 refused rows are given apart: they lie in rows of their own.
v1::Import ToMessage(const ImportRow& row);
// A refused row's faults in a language.
std::vector<v1::ImportFailure> ToFailures(const ImportLine& line, Language language);

}  // namespace millrace::listing
