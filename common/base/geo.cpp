// SPDX-License-Identifier: Apache-2.0
#include "common/base/geo.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace millrace {
namespace {

using std::numbers::pi;

constexpr double kEarthRadiusKm = 6371.0088;
// GCJ-02 is defined on the Krasovsky 1940 ellipsoid.
constexpr double kSemiMajorAxis = 6378245.0;
constexpr double kEccentricitySquared = 0.00669342162296594323;

double Radians(double degrees) { return degrees * pi / 180; }

// The box outside of which Chinese maps do not shift.
bool InChina(Point p) {
  return p.longitude >= 72.004 && p.longitude <= 137.8347 && p.latitude >= 0.8293 && p.latitude <= 55.8271;
}

double ShiftOfLatitude(double x, double y) {
  double shift = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * std::sqrt(std::abs(x));
  shift += (20.0 * std::sin(6.0 * x * pi) + 20.0 * std::sin(2.0 * x * pi)) * 2.0 / 3.0;
  shift += (20.0 * std::sin(y * pi) + 40.0 * std::sin(y / 3.0 * pi)) * 2.0 / 3.0;
  shift += (160.0 * std::sin(y / 12.0 * pi) + 320.0 * std::sin(y * pi / 30.0)) * 2.0 / 3.0;
  return shift;
}

double ShiftOfLongitude(double x, double y) {
  double shift = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * std::sqrt(std::abs(x));
  shift += (20.0 * std::sin(6.0 * x * pi) + 20.0 * std::sin(2.0 * x * pi)) * 2.0 / 3.0;
  shift += (20.0 * std::sin(x * pi) + 40.0 * std::sin(x / 3.0 * pi)) * 2.0 / 3.0;
  shift += (150.0 * std::sin(x / 12.0 * pi) + 300.0 * std::sin(x / 30.0 * pi)) * 2.0 / 3.0;
  return shift;
}

Point Shifted(Point wgs84) {
  double x = wgs84.longitude - 105.0;
  double y = wgs84.latitude - 35.0;
  double latitude = Radians(wgs84.latitude);
  double magic = 1 - kEccentricitySquared * std::sin(latitude) * std::sin(latitude);
  double root = std::sqrt(magic);
  double meridian = kSemiMajorAxis * (1 - kEccentricitySquared) / (magic * root);
  double parallel = kSemiMajorAxis / root * std::cos(latitude);
  return {wgs84.longitude + ShiftOfLongitude(x, y) * 180.0 / (parallel * pi),
          wgs84.latitude + ShiftOfLatitude(x, y) * 180.0 / (meridian * pi)};
}

Point Bd09OfGcj02(Point p) {
  constexpr double kFactor = pi * 3000.0 / 180.0;
  double z = std::hypot(p.longitude, p.latitude) + 0.00002 * std::sin(p.latitude * kFactor);
  double angle = std::atan2(p.latitude, p.longitude) + 0.000003 * std::cos(p.longitude * kFactor);
  return {z * std::cos(angle) + 0.0065, z * std::sin(angle) + 0.006};
}

// The point that `forward` maps to `target`, by fixed-point iteration: both maps are shifts that hardly vary over their
// own length, so each round gains two digits or more.
template <class Map>
Point Inverse(Map forward, Point target) {
  Point guess = target;
  for (int round = 0; round < 10; ++round) {
    Point image = forward(guess);
    guess.longitude += target.longitude - image.longitude;
    guess.latitude += target.latitude - image.latitude;
  }
  return guess;
}

}  // namespace

double DistanceKm(Point a, Point b) {
  double latitude = std::sin(Radians(b.latitude - a.latitude) / 2);
  double longitude = std::sin(Radians(b.longitude - a.longitude) / 2);
  double h =
      latitude * latitude + std::cos(Radians(a.latitude)) * std::cos(Radians(b.latitude)) * longitude * longitude;
  return 2 * kEarthRadiusKm * std::asin(std::sqrt(std::min(1.0, h)));
}

Point ToGcj02(Point wgs84) { return InChina(wgs84) ? Shifted(wgs84) : wgs84; }

Point FromGcj02(Point gcj02) { return InChina(gcj02) ? Inverse(Shifted, gcj02) : gcj02; }

Point FromBd09(Point bd09) { return InChina(bd09) ? FromGcj02(Inverse(Bd09OfGcj02, bd09)) : bd09; }

}  // namespace millrace
