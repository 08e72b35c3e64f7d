// How much boxes overlap others.
#pragma once

#include <cstdint>

#include "candidates.h"

namespace sslmot {

// overlap: out, (boxes), the largest intersection over union of each box with one of the others of
// its class; 0 where it touches none. Sorted into a grid, so that memory grows with the boxes and
// time with those that are near each other.
void find_overlaps(const BoxSet& boxes, const BoxSet& others, float* overlap);

}  // namespace sslmot
