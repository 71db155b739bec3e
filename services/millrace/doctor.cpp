// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/doctor.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "services/millrace/arguments.h"
#include "services/millrace/dev/dev.h"
#include "services/millrace/terminal.h"

namespace millrace {
namespace {

// A running dev's settings, as far as it wrote them into its folder; they win over nothing that was set by hand.
bool TakeDev(const std::string& folder, Patient* patient) {
  std::ifstream in(folder + "/dev.json");
  Json dev = Json::parse(in, nullptr, false);
  if (!dev.is_object()) return false;
  auto set = [&](const char* key, const std::string& value) {
    if (!value.empty() && patient->settings.Origin(key) == "default") patient->settings.Set(key, value, "set by dev");
  };
  std::string socket = dev.value("redis_socket", ""), url = dev.value("url", "");
  std::ifstream keys_file(folder + "/keys.json");
  Json keys = Json::parse(keys_file, nullptr, false);
  if (!keys.is_object()) keys = Json::object();
  set("database_url", dev.value("database_url", ""));
  set("redis_url", socket.empty() ? "" : "unix:" + socket);
  set("custodian_url", dev.value("custodian_url", ""));
  set("custodian_key", dev.value("custodian_key", ""));
  set("operator_key", dev.value("operator_key", ""));
  set("regulator_key", dev.value("regulator_key", ""));
  set("internal_token", keys.value("internal_token", ""));
  set("custodian_secret", keys.value("custodian_secret", ""));
  set("data_folder", folder + "/blobs");
  if (url.starts_with("http://")) set("http_address", url.substr(7));
  patient->dev_folder = folder;
  patient->settings_word = "--instance " + folder;
  return true;
}

Finding CheckSettings(const std::vector<std::string>& faults, const Patient& patient) {
  Finding finding{"settings", Finding::State::kOk, "well-formed", ""};
  if (!patient.dev_folder.empty()) finding.detail += "; of the millrace dev in " + patient.dev_folder;
  if (faults.empty()) return finding;
  finding.state = Finding::State::kFailed;
  finding.detail.clear();
  for (const std::string& fault : faults) finding.detail += (finding.detail.empty() ? "" : "; ") + fault;
  finding.fix = "millrace config show " + patient.settings_word;
  return finding;
}

void Print(const Finding& finding) {
  bool failed = finding.state == Finding::State::kFailed, skipped = finding.state == Finding::State::kSkipped;
  std::string word = failed ? "FAIL" : skipped ? "skip" : "ok";
  std::string padded = word + std::string(4 - word.size(), ' ');
  Colour colour = failed ? Colour::kRed : skipped ? Colour::kYellow : Colour::kGreen;
  std::printf("%s  %-13s %s\n", Paint(padded, colour).c_str(), finding.name.c_str(), finding.detail.c_str());
  if (failed) std::printf("      mend it:     %s\n", finding.fix.c_str());
  std::fflush(stdout);
}

Json ToJson(const Finding& finding) {
  const char* state = finding.state == Finding::State::kFailed    ? "failed"
                      : finding.state == Finding::State::kSkipped ? "skipped"
                                                                  : "ok";
  Json json = {{"name", finding.name}, {"state", state}, {"detail", finding.detail}};
  if (!finding.fix.empty()) json["fix"] = finding.fix;
  return json;
}

}  // namespace

int RunDoctor(std::vector<std::string> arguments) {
  bool json = TakeFlag(&arguments, "--json");
  std::optional<std::string> instance = TakeOption(&arguments, "--instance");
  Patient patient;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--config" && i + 1 < arguments.size()) patient.settings_word = "--config " + arguments[i + 1];
    if (arguments[i].starts_with("--config=")) patient.settings_word = arguments[i];
    if (!arguments[i].starts_with("--") && (i == 0 || !arguments[i - 1].starts_with("--"))) {
      return Leftover("doctor", {arguments[i]});
    }
  }
  std::vector<std::string> faults;
  patient.settings = runtime::Settings::Load(arguments, &faults);
  for (const std::string& fault : faults) {
    if (fault.starts_with("--")) return Misused(fault);  // a flag that is none
  }
  bool by_hand = !patient.settings.Get("database_url").empty();
  if (instance || !by_hand) {
    std::string folder = instance.value_or(dev::DefaultData());
    if (!TakeDev(folder, &patient) && instance) return Misused("no millrace dev runs on " + folder);
  }
  bool passed = true;
  Json all = Json::array();
  auto report = [&](const Finding& finding) {
    passed = passed && finding.state != Finding::State::kFailed;
    if (json) {
      all.push_back(ToJson(finding));
    } else {
      Print(finding);
    }
  };
  report({"version", Finding::State::kOk, "millrace " MILLRACE_VERSION, ""});
  report(CheckSettings(faults, patient));
  for (auto check : {CheckDatabase, CheckRedis, CheckCustodian, CheckDisk, CheckPort}) {
    std::vector<Finding> findings;
    {
      Busy busy("checking");
      findings = check(patient);
    }
    for (const Finding& finding : findings) report(finding);
  }
  if (json) std::printf("%s\n", Json{{"passed", passed}, {"checks", all}}.dump(2).c_str());
  return passed ? kDone : kFailed;
}

}  // namespace millrace
