// How much of each box lies behind another.
#pragma once

#include <cstdint>

namespace sslmot {

// Boxes are numbers. share: out, (n), the largest share of box i that one other box covers whose
// lower edge is lower or as low: who stands lower in the picture stands nearer. Boxes are swept
// from left to right, so that cost grows with those that overlap.
void find_occlusion(const float* boxes, int64_t n, float* share);

}  // namespace sslmot
