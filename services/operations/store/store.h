// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "services/operations/store/set.h"

namespace millrace::operations {

// Locks in this order everywhere: resources, organizations, bookings, work orders; each in key order.
class OperationsStore : public postgres::Store<Set> {
 public:
  void Load(postgres::Transaction& tx, Set& set) override;
  void Save(postgres::Transaction& tx, Set& set) override;
};

}  // namespace millrace::operations
