// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace millrace::redis {

// Where a server listens.
struct Address {
  std::string path;  // of a Unix socket
  std::string host, port;
  bool valid() const { return !path.empty() || !host.empty(); }
};

// Of "unix:/path" or "redis://host[:port]"; not valid for anything else.
inline Address ParseUrl(std::string_view url) {
  Address address;
  if (url.starts_with("unix:")) {
    url.remove_prefix(5);
    while (url.starts_with("//")) url.remove_prefix(1);
    address.path = url;
    return address;
  }
  if (!url.starts_with("redis://")) return address;
  url.remove_prefix(8);
  while (url.ends_with('/')) url.remove_suffix(1);
  size_t colon = url.rfind(':');
  bool has_port = colon != std::string_view::npos && url.find(']', colon) == std::string_view::npos;
  address.host = url.substr(0, has_port ? colon : url.size());
  address.port = has_port ? url.substr(colon + 1) : "6379";
  if (address.host.starts_with('[') && address.host.ends_with(']'))
    address.host = address.host.substr(1, address.host.size() - 2);
  return address;
}

}  // namespace millrace::redis
