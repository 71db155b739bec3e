// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace millrace {

// Degrees, WGS 84 unless a name says otherwise.
struct Point {
  double longitude = 0, latitude = 0;
  bool operator==(const Point&) const = default;
};

// Great-circle distance in km (haversine on a sphere of radius 6371.0088 km).
double DistanceKm(Point a, Point b);
// From the coordinate systems of Chinese maps; points outside China's bounding box come back unchanged. Error below 1 m.
Point FromGcj02(Point gcj02);
Point FromBd09(Point bd09);
Point ToGcj02(Point wgs84);

}  // namespace millrace
