// SPDX-License-Identifier: Apache-2.0
// The SELECT lists that store.h reads rows from.
#pragma once

#define LISTING_RESOURCE_COLUMNS \
  "id, organization, version, runtime.micros(create_time), runtime.micros(update_time), message"
#define LISTING_LISTING_COLUMNS                                                                                        \
  "id, organization, resource, state, state_before, state_reason, runtime.micros(deadline), ever_published, version, " \
  "runtime.micros(create_time), runtime.micros(update_time), message"
#define LISTING_IMPORT_COLUMNS                                                                \
  "id, organization, state, publish, header, summary, version, runtime.micros(create_time), " \
  "runtime.micros(expire_time)"
