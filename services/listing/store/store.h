// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "services/listing/store/rows.h"

namespace millrace::listing {

// Loads and saves a working set: one statement a table and way of naming rows, locks in key order. Listings are locked
// before the words on their organizations are read, so that a publication and a suspension at once end with the listing
// blocked.
class ListingStore : public postgres::Store<ListingSet> {
 public:
  void Load(postgres::Transaction& transaction, ListingSet& set) override;
  void Save(postgres::Transaction& transaction, ListingSet& set) override;
};

// Rows of the SELECT lists of columns.h.
ResourceRow ReadResource(const postgres::Row& row);
ListingRow ReadListing(const postgres::Row& row);
ImportRow ReadImport(const postgres::Row& row);

}  // namespace millrace::listing
