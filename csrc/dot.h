// Dot products of feature rows on the CPU.
#pragma once

#include <cstdint>

namespace sslmot {

float dot(const float* a, const float* b, int64_t dim);

// Dot products of all pairs of rows: out[i * out_stride + j] = a_i . b_j. Rows are given by
// pointer: rows anywhere in a table need no copy.
void dot_block(const float* const* a, int64_t n_a, const float* const* b, int64_t n_b, int64_t dim,
               float* out, int64_t out_stride);

// Euclidean norms of n rows of `dim` numbers. Returns the first row that holds a NaN or an infinity
// or is longer than kLargestNorm, or -1.
int64_t row_norms(const float* features, int64_t n, int64_t dim, float* norms);

}  // namespace sslmot
