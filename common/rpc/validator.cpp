// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/validator.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/unknown_field_set.h>

#include <memory>
#include <optional>
#include <regex>
#include <unordered_map>

#include "common/base/id.h"
#include "common/base/limits.h"
#include "common/base/money.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/base/uscc.h"
#include "common/calendar/calendar.h"
#include "common/telemetry/trace.h"
#include "millrace/type/common.pb.h"
#include "millrace/type/options.pb.h"

namespace millrace::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::Timestamp;

constexpr int kDefaultMaxLength = 1000;
constexpr int64_t kMinSeconds = -62135596800;  // 0001-01-01
constexpr int64_t kMaxSeconds = 253402300799;  // 9999-12-31T23:59:59

// A field with its rules, made ready once for each message type.
struct Field {
  const FieldDescriptor* descriptor;
  type::FieldRules rules;
  std::optional<std::regex> pattern;
};

enum class Special { kNone, kInterval, kPlace, kTimestamp };

struct Plan {
  Special special = Special::kNone;
  std::vector<Field> fields;
};

std::unique_ptr<Plan> MakePlan(const Descriptor* descriptor) {
  auto plan = std::make_unique<Plan>();
  if (descriptor == type::Interval::descriptor()) plan->special = Special::kInterval;
  if (descriptor == type::Place::descriptor()) plan->special = Special::kPlace;
  if (descriptor == Timestamp::descriptor()) plan->special = Special::kTimestamp;
  for (int i = 0; i < descriptor->field_count(); ++i) {
    Field field;
    field.descriptor = descriptor->field(i);
    field.rules = field.descriptor->options().GetExtension(type::field);
    if (!field.rules.pattern().empty()) field.pattern.emplace(field.rules.pattern(), std::regex::optimize);
    plan->fields.push_back(std::move(field));
  }
  return plan;
}

const Plan& PlanOf(const Descriptor* descriptor) {
  thread_local std::unordered_map<const Descriptor*, std::unique_ptr<Plan>> plans;
  std::unique_ptr<Plan>& plan = plans[descriptor];
  if (!plan) plan = MakePlan(descriptor);
  return *plan;
}

// One part of a JSON pointer (RFC 6901).
std::string Escape(std::string_view part) {
  std::string out;
  for (char c : part) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

// Digits, with at most three of them behind a point.
bool IsDecimal(std::string_view text) {
  size_t point = text.find('.');
  std::string_view whole = text.substr(0, point);
  std::string_view fraction = point == text.npos ? "0" : text.substr(point + 1);
  auto digits = [](std::string_view s) { return !s.empty() && s.find_first_not_of("0123456789") == s.npos; };
  return digits(whole) && digits(fraction) && whole.size() <= 15 && fraction.size() <= 3;
}

bool IsLanguage(std::string_view text) { return text == "zh" || text == "en"; }

class Validator {
 public:
  explicit Validator(bool internal) : internal_(internal) {}

  void Check(const Message& message, const std::string& pointer) {
    const Plan& plan = PlanOf(message.GetDescriptor());
    const Reflection* reflection = message.GetReflection();
    const auto& unknown = reflection->GetUnknownFields(message);
    for (int i = 0; i < unknown.field_count() && !Full(); ++i) {
      std::string number = std::to_string(unknown.field(i).number());
      Report(pointer + "/" + number, ErrorCode::kUnknownField, {});
    }
    for (const Field& field : plan.fields) {
      if (Full()) return;
      CheckField(message, reflection, field, pointer);
    }
    if (!Full()) CheckSpecial(plan.special, message, pointer);
  }

  std::vector<Violation> violations;

 private:
  bool Full() const { return violations.size() >= limits::kViolationsReported; }

  void Report(std::string pointer, ErrorCode code, ErrorParams params) {
    if (Full()) return;
    params.emplace("field", pointer.substr(pointer.rfind('/') + 1));
    violations.push_back({std::move(pointer), code, std::move(params)});
  }
  void Report(Error error) {
    for (Violation& violation : error.violations) {
      Report(std::move(violation.pointer), violation.code, std::move(violation.params));
    }
  }

  static bool Given(const Message& message, const Reflection* reflection, const Field& field) {
    if (field.descriptor->is_repeated()) return reflection->FieldSize(message, field.descriptor) > 0;
    if (!reflection->HasField(message, field.descriptor)) {
      // A plain number cannot tell 0 from absent; 0 counts where the bounds have it.
      const type::FieldRules& rules = field.rules;
      return !field.descriptor->has_presence() && rules.max() > rules.min() && rules.min() <= 0 && rules.max() >= 0;
    }
    if (field.descriptor->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      std::string scratch;
      return !reflection->GetStringReference(message, field.descriptor, &scratch).empty();
    }
    return true;
  }

  void CheckField(const Message& message, const Reflection* reflection, const Field& field, const std::string& parent) {
    const FieldDescriptor* descriptor = field.descriptor;
    std::string pointer = parent + "/" + descriptor->name();
    if (field.rules.output_only()) {
      bool set = descriptor->is_repeated() ? reflection->FieldSize(message, descriptor) > 0
                                           : reflection->HasField(message, descriptor);
      if (set && !internal_) Report(pointer, ErrorCode::kOutputOnly, {});
      return;
    }
    if (!Given(message, reflection, field)) {
      if (field.rules.required()) return Report(pointer, ErrorCode::kRequired, {});
      if (descriptor->is_repeated() || descriptor->has_presence() ||
          descriptor->cpp_type() == FieldDescriptor::CPPTYPE_STRING)
        return;
    }
    if (descriptor->is_map()) return CheckMap(message, reflection, field, pointer);
    if (descriptor->is_repeated()) return CheckList(message, reflection, field, pointer);
    CheckValue(message, reflection, field, -1, pointer);
  }

  void CheckCount(int64_t count, const Field& field, bool list, const std::string& pointer) {
    int64_t max = field.rules.max_length() > 0 ? field.rules.max_length() : list ? kDefaultMaxLength : 0;
    if (max > 0 && count > max) {
      Report(pointer, ErrorCode::kTooLong, {{"max", std::to_string(max)}});
    } else if (count < field.rules.min_length()) {
      Report(pointer, ErrorCode::kTooShort, {{"min", std::to_string(field.rules.min_length())}});
    }
  }

  void CheckList(const Message& message, const Reflection* reflection, const Field& field, const std::string& pointer) {
    int size = reflection->FieldSize(message, field.descriptor);
    CheckCount(size, field, true, pointer);
    for (int i = 0; i < size && !Full(); ++i) {
      CheckValue(message, reflection, field, i, pointer + "/" + std::to_string(i));
    }
  }

  // Entries in the order of their keys' pointers is not promised; each names its key.
  void CheckMap(const Message& message, const Reflection* reflection, const Field& field, const std::string& pointer) {
    int size = reflection->FieldSize(message, field.descriptor);
    CheckCount(size, field, true, pointer);
    const Plan& entry_plan = PlanOf(field.descriptor->message_type());
    const FieldDescriptor* key = field.descriptor->message_type()->map_key();
    for (int i = 0; i < size && !Full(); ++i) {
      const Message& entry = reflection->GetRepeatedMessage(message, field.descriptor, i);
      const Reflection* inner = entry.GetReflection();
      std::string name = key->type() == FieldDescriptor::TYPE_STRING ? inner->GetString(entry, key) : std::to_string(i);
      if (!IsUtf8(name)) {
        Report(pointer, ErrorCode::kInvalidFormat, {{"expected", "UTF-8"}});
        continue;
      }
      std::string at = pointer + "/" + Escape(name);
      CheckText(name, entry_plan.fields[0], false, at);
      CheckValue(entry, inner, entry_plan.fields[1], -1, at);
    }
  }

  // One value: of a plain field (index -1) or an element of a list.
  void CheckValue(const Message& message, const Reflection* reflection, const Field& field, int index,
                  const std::string& pointer) {
    const FieldDescriptor* descriptor = field.descriptor;
    bool element = index >= 0;
    auto get = [&](auto single, auto repeated) {
      return element ? (reflection->*repeated)(message, descriptor, index) : (reflection->*single)(message, descriptor);
    };
    switch (descriptor->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Check(element ? reflection->GetRepeatedMessage(message, descriptor, index)
                             : reflection->GetMessage(message, descriptor),
                     pointer);
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string scratch;
        const std::string& text = element ? reflection->GetRepeatedStringReference(message, descriptor, index, &scratch)
                                          : reflection->GetStringReference(message, descriptor, &scratch);
        if (descriptor->type() == FieldDescriptor::TYPE_STRING) return CheckText(text, field, !element, pointer);
        if (!element) CheckCount(static_cast<int64_t>(text.size()), field, false, pointer);
        return;
      }
      case FieldDescriptor::CPPTYPE_INT32:
        return CheckNumber(get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32), field, pointer);
      case FieldDescriptor::CPPTYPE_INT64:
        return CheckNumber(get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64), field, pointer);
      case FieldDescriptor::CPPTYPE_UINT32:
        return CheckNumber(get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32), field, pointer);
      case FieldDescriptor::CPPTYPE_UINT64:
        return CheckNumber(get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64), field, pointer);
      case FieldDescriptor::CPPTYPE_ENUM:
        return CheckEnum(get(&Reflection::GetEnumValue, &Reflection::GetRepeatedEnumValue), descriptor, pointer);
      default:
        return;
    }
  }

  // 128 bits hold every integer type.
  void CheckNumber(__int128 value, const Field& field, const std::string& pointer) {
    const type::FieldRules& rules = field.rules;
    if (rules.max() <= rules.min() || (value >= rules.min() && value <= rules.max())) return;
    Report(pointer, ErrorCode::kOutOfRange,
           {{"min", std::to_string(rules.min())}, {"max", std::to_string(rules.max())}});
  }

  void CheckEnum(int value, const FieldDescriptor* descriptor, const std::string& pointer) {
    if (descriptor->enum_type()->FindValueByNumber(value) != nullptr) return;
    std::string names;
    for (int i = 0; i < descriptor->enum_type()->value_count(); ++i) {
      names += (i == 0 ? "" : ", ") + descriptor->enum_type()->value(i)->name();
    }
    Report(pointer, ErrorCode::kWrongType, {{"expected", names}, {"got", std::to_string(value)}});
  }

  // `bounded`: the length rules are the string's own; in a list they count its entries.
  void CheckText(const std::string& text, const Field& field, bool bounded, const std::string& pointer) {
    const type::FieldRules& rules = field.rules;
    if (!IsUtf8(text)) return Report(pointer, ErrorCode::kInvalidFormat, {{"expected", "UTF-8"}});
    // PostgreSQL keeps no such character; cut off there, two names would be one.
    if (text.find('\0') != text.npos) return Report(pointer, ErrorCode::kInvalidFormat, {{"expected", "no U+0000"}});
    auto length = static_cast<int64_t>(CharacterCount(text));
    int64_t max = bounded && rules.max_length() > 0 ? rules.max_length() : kDefaultMaxLength;
    if (length > max) return Report(pointer, ErrorCode::kTooLong, {{"max", std::to_string(max)}});
    if (bounded && length < rules.min_length()) {
      return Report(pointer, ErrorCode::kTooShort, {{"min", std::to_string(rules.min_length())}});
    }
    if (field.pattern && !std::regex_match(text, *field.pattern)) {
      return Report(pointer, ErrorCode::kInvalidFormat, {{"expected", rules.pattern()}});
    }
    if (!rules.id().empty()) {
      if (Result<Uuid> id = ParseId(rules.id(), text, pointer); !id) return Report(std::move(id).error());
    }
    if (!rules.format().empty()) CheckFormat(text, rules.format(), pointer);
  }

  void CheckFormat(const std::string& text, std::string_view format, const std::string& pointer) {
    if (format == "unit") {
      if (!IsUnit(text))
        Report(pointer, ErrorCode::kUnknownUnit, {{"unit", text}, {"allowed", std::string(AllowedUnits())}});
    } else if (format == "currency") {
      if (!IsSupportedCurrency(text)) {
        Report(pointer, ErrorCode::kUnknownCurrency, {{"allowed", std::string(SupportedCurrencies())}});
      }
    } else if (format == "time_zone") {
      if (!calendar::IsTimeZone(text)) Report(pointer, ErrorCode::kUnknownTimeZone, {{"time_zone", text}});
    } else if (format == "uscc") {
      if (Result<void> checked = CheckUscc(text, pointer); !checked) Report(std::move(checked).error());
    } else if (format == "decimal") {
      if (!IsDecimal(text)) Report(pointer, ErrorCode::kInvalidFormat, {{"expected", "0.015"}});
    } else if (format == "language") {
      if (!IsLanguage(text)) Report(pointer, ErrorCode::kInvalidFormat, {{"expected", "zh, en"}});
    } else if (format == "traceparent") {
      if (!telemetry::IsTraceparent(text))
        Report(pointer, ErrorCode::kInvalidFormat, {{"expected", "W3C traceparent"}});
    } else {
      Report(pointer, ErrorCode::kInternal, {});  // a rule that names no format is a fault of the contract
    }
  }

  void CheckSpecial(Special special, const Message& message, const std::string& pointer) {
    if (special == Special::kInterval) {
      const auto& interval = static_cast<const type::Interval&>(message);
      if (!interval.has_start_time() || !interval.has_end_time()) return;  // reported as required
      auto at = [](const Timestamp& t) { return std::pair(t.seconds(), t.nanos()); };
      if (at(interval.end_time()) <= at(interval.start_time())) Report(pointer, ErrorCode::kEndBeforeStart, {});
    } else if (special == Special::kPlace) {
      const auto& place = static_cast<const type::Place&>(message);
      CheckDegrees(place.longitude(), 180, pointer + "/longitude");
      CheckDegrees(place.latitude(), 90, pointer + "/latitude");
    } else if (special == Special::kTimestamp) {
      const auto& time = static_cast<const Timestamp&>(message);
      bool exists = time.seconds() >= kMinSeconds && time.seconds() <= kMaxSeconds && time.nanos() >= 0 &&
                    time.nanos() <= 999'999'999;
      if (!exists) Report(pointer, ErrorCode::kInvalidFormat, {{"expected", "RFC 3339, 0001 to 9999"}});
    }
  }

  // NaN lies nowhere.
  void CheckDegrees(double degrees, int bound, const std::string& pointer) {
    if (degrees >= -bound && degrees <= bound) return;
    Report(pointer, ErrorCode::kOutOfRange, {{"min", std::to_string(-bound)}, {"max", std::to_string(bound)}});
  }

  bool internal_;
};

}  // namespace

std::vector<Violation> Validate(const Message& request, bool internal) {
  Validator validator(internal);
  validator.Check(request, "#");
  return std::move(validator.violations);
}

}  // namespace millrace::rpc
