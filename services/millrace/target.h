// SPDX-License-Identifier: Apache-2.0
// Which instance a command asks, and as whom.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "services/millrace/client.h"

namespace millrace {

struct Target {
  std::string url, url_origin;  // "flag --url", "environment MILLRACE_URL", "file /root/.config/millrace/config", …
  std::string key, key_origin;
  std::string ca_file;  // PEM for https; empty: the system's
  ApiClient Client() const;
};

// Takes --url, --key, --key-file, --ca-file and --instance out of the arguments. Each value comes from the flag, else
// from --instance, else from MILLRACE_URL, MILLRACE_KEY, MILLRACE_KEY_FILE or MILLRACE_CA_FILE, else from the person's
// file (url, key, key_file, ca_file = …), else from the millrace dev that runs here. A key of the file or of a dev is
// never sent to an address that came from elsewhere. Nothing, with a word to the person, if something named cannot be
// read.
std::optional<Target> FindTarget(std::vector<std::string>* arguments);

// Where the person's file is: $XDG_CONFIG_HOME/millrace/config, else ~/.config/millrace/config.
std::string ClientConfigPath();

// `whoami`: the organization, its roles, and where address and key came from.
int RunWhoami(std::vector<std::string> arguments);

}  // namespace millrace
