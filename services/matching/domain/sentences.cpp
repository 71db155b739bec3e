// SPDX-License-Identifier: Apache-2.0
#include "services/matching/domain/sentences.h"

namespace millrace::matching::domain {
namespace {

constexpr const char* kConstraintZh[] = {"",     "工艺", "材料",     "公差", "工件尺寸", "工件质量",
                                         "证书", "类别", "数量单位", "距离", "时间",     "预算"};
constexpr const char* kConstraintEn[] = {"",          "process",   "material",    "tolerance",
                                         "part size", "part mass", "certificate", "kind",
                                         "units",     "distance",  "time",        "budget"};
constexpr const char* kKinds[] = {"any",
                                  "EQUIPMENT",
                                  "TOOLING",
                                  "PRODUCTION_LINE",
                                  "WAREHOUSING_LOGISTICS",
                                  "PRODUCT_TESTING",
                                  "EQUIPMENT_MAINTENANCE",
                                  "GOODS_INSPECTION",
                                  "SUPPLY_CHAIN_MANAGEMENT",
                                  "DATA_ANALYTICS",
                                  "RESEARCH_DESIGN",
                                  "TEST_SITE"};
constexpr const char* kNotStated = "–";

// Thousandths of a unit as a decimal without trailing zeros: 20 um → "0.02 mm".
std::string Thousandths(int64_t value, const char* unit) {
  std::string whole = std::to_string(value / 1000);
  if (int64_t rest = value % 1000; rest != 0) {
    std::string digits = std::to_string(1000 + rest).substr(1);
    while (digits.back() == '0') digits.pop_back();
    whole += "." + digits;
  }
  return whole + " " + unit;
}

std::string Size(const Sides& sides) {
  return std::to_string(sides[0]) + " × " + std::to_string(sides[1]) + " × " + std::to_string(sides[2]) + " mm";
}

std::string Codes(const std::vector<const Node*>& nodes) {
  std::string out;
  for (const Node* node : nodes) out += (out.empty() ? "" : ", ") + node->code;
  return out.empty() ? kNotStated : out;
}

std::string Schemes(const std::vector<Scheme>& schemes) {
  std::string out;
  for (const Scheme& scheme : schemes) out += (out.empty() ? "" : ", ") + scheme.written;
  return out;
}

std::string HeldSchemes(const Offer& offer) {
  std::string out;
  for (const Certificate& held : offer.certificates) out += (out.empty() ? "" : ", ") + held.scheme;
  return out.empty() ? kNotStated : out;
}

std::string Kind(int kind) { return kKinds[kind >= 0 && kind <= 11 ? kind : 0]; }

std::string Percent(int64_t ppm) { return std::to_string((ppm + 5000) / 10000) + "%"; }

std::string Km(std::optional<int64_t> km) { return km ? std::to_string(*km) + " km" : kNotStated; }

std::string Have(Constraint constraint, const Miss& miss) {
  const Offer& offer = *miss.offer;
  switch (constraint) {
    case Constraint::kProcess:
      return Codes(offer.processes);
    case Constraint::kMaterial:
      return Codes(offer.materials);
    case Constraint::kTolerance:
      return offer.tolerance_um > 0 ? Thousandths(offer.tolerance_um, "mm") : kNotStated;
    case Constraint::kEnvelope:
      return offer.envelope_mm[0] > 0 ? Size(offer.envelope_mm) : kNotStated;
    case Constraint::kMass:
      return offer.mass_g > 0 ? Thousandths(offer.mass_g, "kg") : kNotStated;
    case Constraint::kCertificate:
      return HeldSchemes(offer);
    case Constraint::kKind:
      return Kind(offer.kind);
    case Constraint::kUnits:
      return std::to_string(offer.capacity);
    case Constraint::kDistance:
      return Km(miss.distance_km);
    case Constraint::kCalendar:
      return kNotStated;
    case Constraint::kBudget:
      return miss.total ? FormatMoney({*miss.total, offer.plan.currency}) : kNotStated;
  }
  return {};
}

std::string Wanted(Constraint constraint, const Need& need) {
  switch (constraint) {
    case Constraint::kProcess:
      return Codes(need.processes);
    case Constraint::kMaterial:
      return Codes(need.materials);
    case Constraint::kTolerance:
      return Thousandths(need.tolerance_um, "mm");
    case Constraint::kEnvelope:
      return Size(need.envelope_mm);
    case Constraint::kMass:
      return Thousandths(need.mass_g, "kg");
    case Constraint::kCertificate:
      return Schemes(need.certificates);
    case Constraint::kKind:
      return Kind(need.kind);
    case Constraint::kUnits:
      return std::to_string(need.units);
    case Constraint::kDistance:
      return std::to_string(need.max_distance_km) + " km";
    case Constraint::kCalendar: {
      return std::to_string(need.duration_minutes) + " min, " + FormatTime(need.window.start) + "/" +
             FormatTime(need.window.end);
    }
    case Constraint::kBudget:
      return need.budget ? FormatMoney(*need.budget) : kNotStated;
  }
  return {};
}

}  // namespace

Sentence Explain(const Match& match, const Need& need) {
  const Offer& offer = *match.offer;
  std::string from = calendar::FormatLocal(match.window.start, offer.rules->time_zone);
  std::string to = calendar::FormatLocal(match.window.end, offer.rules->time_zone);
  std::string total = FormatMoney({match.price.total, match.price.currency});
  Sentence out;
  out.zh = "满足全部要求" + (need.processes.empty() ? std::string() : "（" + need.processes[0]->zh + "）") + "；" +
           from + " 至 " + to + " 可预订，总价 " + total;
  out.en = "Meets every requirement" + (need.processes.empty() ? std::string() : " (" + need.processes[0]->en + ")") +
           "; can be booked from " + from + " to " + to + " for " + total;
  if (match.distance_km) {
    out.zh += "，距离 " + Km(match.distance_km);
    out.en += ", " + Km(match.distance_km) + " away";
  }
  out.zh += "。";
  out.en += ".";
  return out;
}

Sentence ExplainPart(const ScorePart& part, const Match& match, const Need& need) {
  std::string_view name = part.name;
  std::string share = Percent(part.value);
  if (name == "price") {
    std::string total = FormatMoney({match.price.total, match.price.currency});
    if (need.budget)
      return {"总价 " + total + "，低于预算 " + share, "Total " + total + ", " + share + " below the budget"};
    return {"总价 " + total + "，比最贵的匹配低 " + share,
            "Total " + total + ", " + share + " below the dearest match"};
  }
  if (name == "process") return {"工艺吻合度 " + share, "Process similarity " + share};
  if (name == "tolerance") {
    std::string have = Thousandths(match.offer->tolerance_um, "mm");
    return {"公差能力 " + have + "，裕量 " + share, "Holds " + have + ", margin " + share};
  }
  if (name == "distance") return {"距离 " + Km(match.distance_km), "Distance " + Km(match.distance_km)};
  if (name == "calendar") {
    std::string start = calendar::FormatLocal(match.window.start, match.offer->rules->time_zone);
    return {"最早 " + start + " 开始", "Starts as early as " + start};
  }
  if (name == "credit") {
    return {"提供方信用层级 " + std::to_string(match.tier),
            "The provider's credit tier is " + std::to_string(match.tier)};
  }
  return {"该时段空闲产能 " + share, share + " of the open capacity stands idle"};
}

Shortcoming Describe(Constraint constraint, const Miss& miss, const Need& need) {
  Shortcoming out{Have(constraint, miss), Wanted(constraint, need), {}};
  auto c = static_cast<size_t>(constraint);
  if (constraint == Constraint::kCalendar) {
    out.sentence = {"在所需时段内没有连续 " + std::to_string(need.duration_minutes) + " 分钟的可订时间",
                    "No free window of " + std::to_string(need.duration_minutes) + " minutes within the wanted time"};
  } else {
    out.sentence = {std::string(kConstraintZh[c]) + "不满足：现有 " + out.have + "，需要 " + out.need,
                    std::string(kConstraintEn[c]) + " does not fit: has " + out.have + ", needs " + out.need};
  }
  return out;
}

Change Describe(const Relaxation& relaxation, const Need& need) {
  Constraint constraint = relaxation.constraint;
  Change out{Wanted(constraint, need), Wanted(constraint, relaxation.need), {}};
  if (constraint == Constraint::kProcess || constraint == Constraint::kMaterial) {
    out.from = relaxation.wanted->code;
    out.to = relaxation.relaxed != nullptr ? relaxation.relaxed->code : "any";
  } else if (constraint == Constraint::kCalendar) {
    out.from = FormatTime(need.window.end);
    out.to = FormatTime(relaxation.need.window.end);
  } else if (constraint == Constraint::kCertificate) {
    out.from = relaxation.scheme.written;
    out.to = "any";
  }
  auto c = static_cast<size_t>(constraint);
  std::string adds = std::to_string(relaxation.adds);
  out.sentence = {std::string(kConstraintZh[c]) + "由 " + out.from + " 放宽到 " + out.to + "：多 " + adds + " 个匹配",
                  std::string(kConstraintEn[c]) + " " + out.to + " instead of " + out.from + ": " + adds + " more"};
  return out;
}

}  // namespace millrace::matching::domain
