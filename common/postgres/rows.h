// SPDX-License-Identifier: Apache-2.0
// What Rows reads from, whatever library brought it. Only files of this folder include it.
#pragma once

#include <cstddef>
#include <string_view>

namespace millrace::postgres {

class ResultData {
 public:
  virtual ~ResultData() = default;
  virtual size_t rows() const = 0;
  virtual size_t affected() const = 0;
  virtual bool IsNull(size_t row, int column) const = 0;
  virtual std::string_view View(size_t row, int column) const = 0;  // empty where it is NULL
};

}  // namespace millrace::postgres
