// The nearest of many short codes: a first look at the samples of a large gallery.
#pragma once

#include <cstdint>

namespace sslmot {

constexpr int64_t kCodeLength = 128;  // numbers of a code

// For each of `n_queries` codes, find the `size` of `n` codes whose dot products with it are largest:
// found (n_queries, size), in no order. Of codes with the same dot product, any may be found.
// Expects 0 < size <= n.
void nearest_codes(const int8_t* codes, int64_t n, const int8_t* queries, int64_t n_queries,
                   int64_t size, int64_t* found);

}  // namespace sslmot
