// SPDX-License-Identifier: Apache-2.0
#include "services/credit/app/explain.h"

#include <algorithm>

#include "services/credit/app/times.h"

namespace millrace::credit {
namespace {

using domain::Dimension;
using domain::DimensionPoints;
using domain::Role;

struct Words {
  Dimension dimension;
  const char *zh, *en;
};
constexpr Words kWords[] = {{Dimension::kOnTime, "准时交接", "Handed over on time"},
                            {Dimension::kQuality, "交付质量", "Delivered as agreed"},
                            {Dimension::kCancellation, "履行已确认的预订", "Kept confirmed bookings"},
                            {Dimension::kNoShow, "按时到场", "Came as booked"},
                            {Dimension::kAcceptance, "及时验收", "Accepted in time"},
                            {Dimension::kReview, "对方评价", "Reviews by the other party"}};

const Words& WordsOf(Dimension dimension) { return *std::ranges::find(kWords, dimension, &Words::dimension); }

// Tenths as "+11.7".
std::string Tenths(int value) {
  int size = std::abs(value);
  return (value < 0 ? "-" : "+") + std::to_string(size / 10) + "." + std::to_string(size % 10);
}

// Parts per million as "95.0".
std::string Percent(int parts) {
  int tenths = (parts + 500) / 1000;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

v1::Contribution ToProto(const DimensionPoints& points, const std::vector<domain::Fact>& facts) {
  v1::Contribution out;
  out.set_dimension(static_cast<v1::Dimension>(points.dimension));
  out.set_points(points.points);
  out.set_facts(static_cast<int>(points.facts.size()));
  out.set_expected_good(points.expected_good);
  int earlier = points.points;
  for (size_t i = points.facts.size(); i-- > 0 && out.newest_size() < static_cast<int>(kExplainedFacts);) {
    const domain::Fact& fact = facts[points.facts[i].fact];
    v1::FactContribution& newest = *out.add_newest();
    newest.set_fact_id(FormatId("cft", fact.id));
    newest.set_booking_id(FormatId("bkg", fact.booking));
    PutTime(fact.time, newest.mutable_time());
    newest.set_good(fact.good);
    newest.set_points(points.facts[i].points);
    earlier -= points.facts[i].points;
  }
  out.set_earlier_points(earlier);
  const Words& words = WordsOf(points.dimension);
  std::string count = std::to_string(points.facts.size());
  out.set_zh(std::string(words.zh) + "：" + count + " 条记录，预期良好率 " + Percent(points.expected_good) + "%，" +
             Tenths(points.points) + " 分。");
  out.set_en(std::string(words.en) + ": " + count + " fact(s), expected good " + Percent(points.expected_good) +
             " %, " + Tenths(points.points) + " points.");
  return out;
}

void PutNext(const domain::NextGrade& next, v1::Explanation* out) {
  std::string count = std::to_string(next.bookings);
  std::string zh = "再有约 " + count + " 笔良好的交易（每笔约 1,000 元）";
  std::string en = "About " + count + " more good booking(s) of about 1,000.00 CNY";
  if (next.counterparties > 0) {
    zh += "，其中至少 " + std::to_string(next.counterparties) + " 家新的交易对手";
    en += ", with at least " + std::to_string(next.counterparties) + " new counterpart(ies)";
  }
  zh += "，可评为 " + next.grade;
  en += " lead to grade " + next.grade;
  if (next.not_before) {
    std::string day = FormatTime(*next.not_before).substr(0, 10);
    zh += "，最早于 " + day;
    en += ", not before " + day;
  }
  out->set_next_zh(zh + "。");
  out->set_next_en(en + ".");
}

}  // namespace

v1::Explanation Explain(Role role, const std::vector<domain::Fact>& facts, const domain::Standing& standing) {
  domain::Assessment assessment = domain::Assess(role, facts);
  v1::Explanation out;
  out.set_base_points(domain::kScoreBase);
  for (const DimensionPoints& points : assessment.dimensions) *out.add_contributions() = ToProto(points, facts);
  out.set_limit_points(assessment.limit_points);
  if (std::optional<domain::NextGrade> next = domain::WhatLeadsUp(role, facts, standing)) PutNext(*next, &out);
  out.set_model(domain::kModelVersion);
  return out;
}

}  // namespace millrace::credit
