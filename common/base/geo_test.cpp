// SPDX-License-Identifier: Apache-2.0
#include "common/base/geo.h"

#include <gtest/gtest.h>

#include <random>

#include "common/base/units.h"
#include "tests/support/rounds.h"

namespace millrace {
namespace {

TEST(Geo, ShiftsTiananmenAsMapsDo) {
  Point gcj02 = ToGcj02({116.397428, 39.90923});
  EXPECT_NEAR(gcj02.longitude, 116.40367, 1e-4);
  EXPECT_NEAR(gcj02.latitude, 39.91063, 1e-4);
}

TEST(Geo, InvertsGcj02AllOverChinaWithinAMetre) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> longitude(74, 135), latitude(18, 53);
  for (int i = 0; i < Rounds(2000); ++i) {
    Point at{longitude(random), latitude(random)};
    Point shifted = ToGcj02(at);
    double moved_m = DistanceKm(at, shifted) * 1000;
    ASSERT_GT(moved_m, 1);
    ASSERT_LT(moved_m, 2000);
    ASSERT_LT(DistanceKm(FromGcj02(shifted), at) * 1000, 1) << at.longitude << ' ' << at.latitude;
  }
}

TEST(Geo, Bd09LiesBeyondGcj02) {
  // Baidu's point of Tiananmen's GCJ-02 position.
  Point wgs84 = FromBd09({116.410036, 39.916982});
  EXPECT_LT(DistanceKm(wgs84, {116.397428, 39.90923}) * 1000, 5);
}

TEST(Geo, LeavesTheRestOfTheWorldAlone) {
  for (Point at : {Point{13.4, 52.5}, Point{-122.4, 37.8}, Point{151.2, -33.9}}) {
    EXPECT_EQ(ToGcj02(at), at);
    EXPECT_EQ(FromGcj02(at), at);
    EXPECT_EQ(FromBd09(at), at);
  }
}

TEST(Geo, MeasuresGreatCircles) {
  EXPECT_NEAR(DistanceKm({116.397428, 39.90923}, {121.4737, 31.2304}), 1067, 2);  // Beijing to Shanghai
  EXPECT_NEAR(DistanceKm({0, 0}, {180, 0}), 20015.11, 0.1);
  EXPECT_NEAR(DistanceKm({0, 90}, {50, -90}), 20015.11, 0.1);
  EXPECT_EQ(DistanceKm({10, 10}, {10, 10}), 0);
  EXPECT_NEAR(DistanceKm({179.5, 0}, {-179.5, 0}), 111.195, 0.01);
}

TEST(Units, AreAClosedListThatMessagesName) {
  std::string_view allowed = AllowedUnits();
  size_t count = 0;
  while (!allowed.empty()) {
    size_t comma = allowed.find(", ");
    EXPECT_TRUE(IsUnit(allowed.substr(0, comma))) << allowed;
    ++count;
    allowed = comma == allowed.npos ? "" : allowed.substr(comma + 2);
  }
  EXPECT_EQ(count, 19u);
  for (std::string_view wrong : {"", "H", "hour", "kWh", "mm", "piece", "KG", ", "})
    EXPECT_FALSE(IsUnit(wrong)) << wrong;
}

}  // namespace
}  // namespace millrace
