#include <algorithm>
#include <cmath>

#include "dot.h"
#include "pair.h"
#include "simd.h"

namespace sslmot {

namespace {

// Partial dot products over a slice of the features, 4 rows by 4 rows: 16 sums live in registers
// while each number read is used four times.
SSLMOT_SIMD_CLONES
void dot_4x4(const float* const* a, const float* const* b, int64_t begin, int64_t end, float* out,
             int64_t stride) {
    const float *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3];
    const float *b0 = b[0], *b1 = b[1], *b2 = b[2], *b3 = b[3];
    float s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
    float s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
#pragma omp simd reduction(+ : s00, s01, s02, s03, s10, s11, s12, s13, s20, s21, s22, s23, s30, \
                               s31, s32, s33)
    for (int64_t k = begin; k < end; ++k) {
        s00 += a0[k] * b0[k], s01 += a0[k] * b1[k], s02 += a0[k] * b2[k], s03 += a0[k] * b3[k];
        s10 += a1[k] * b0[k], s11 += a1[k] * b1[k], s12 += a1[k] * b2[k], s13 += a1[k] * b3[k];
        s20 += a2[k] * b0[k], s21 += a2[k] * b1[k], s22 += a2[k] * b2[k], s23 += a2[k] * b3[k];
        s30 += a3[k] * b0[k], s31 += a3[k] * b1[k], s32 += a3[k] * b2[k], s33 += a3[k] * b3[k];
    }
    const float sums[16] = {s00, s01, s02, s03, s10, s11, s12, s13,
                            s20, s21, s22, s23, s30, s31, s32, s33};
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) out[i * stride + j] += sums[4 * i + j];
}

SSLMOT_SIMD_CLONES
float dot_slice(const float* a, const float* b, int64_t begin, int64_t end) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = begin; k < end; ++k) sum += a[k] * b[k];
    return sum;
}

}  // namespace

float dot(const float* a, const float* b, int64_t dim) { return dot_slice(a, b, 0, dim); }

void dot_block(const float* const* a, int64_t n_a, const float* const* b, int64_t n_b, int64_t dim,
               float* out, int64_t out_stride) {
    // A slab of b (64 rows by 512 numbers, 128 KiB) stays in the second-level cache while all of a
    // streams past it.
    constexpr int64_t rows = 64, slice = 512;
    for (int64_t i = 0; i < n_a; ++i) std::fill_n(out + i * out_stride, n_b, 0.0F);
    for (int64_t jb = 0; jb < n_b; jb += rows) {
        const int64_t je = std::min(jb + rows, n_b);
        for (int64_t begin = 0; begin < dim; begin += slice) {
            const int64_t end = std::min(begin + slice, dim);
            for (int64_t i = 0; i < n_a; i += 4) {
                for (int64_t j = jb; j < je; j += 4) {
                    if (i + 4 <= n_a && j + 4 <= je) {
                        dot_4x4(a + i, b + j, begin, end, out + i * out_stride + j, out_stride);
                        continue;
                    }
                    for (int64_t r = i; r < std::min(i + 4, n_a); ++r)
                        for (int64_t c = j; c < std::min(j + 4, je); ++c)
                            out[r * out_stride + c] += dot_slice(a[r], b[c], begin, end);
                }
            }
        }
    }
}

int64_t row_norms(const float* features, int64_t n, int64_t d, float* norms) {
    int64_t bad = -1;
    for (int64_t i = 0; i < n; ++i) {
        const float* row = features + i * d;
        const float square = dot(row, row, d);
        double norm = std::sqrt(static_cast<double>(square));
        // Squares that leave the range of float32 are summed again in double.
        if (!(square > 1e-24F && square < 1e36F)) {
            double sum = 0;
            for (int64_t k = 0; k < d; ++k) sum += static_cast<double>(row[k]) * row[k];
            norm = std::sqrt(sum);
        }
        norms[i] = static_cast<float>(norm);
        if (bad < 0 && !(norm <= static_cast<double>(kLargestNorm))) bad = i;
    }
    return bad;
}

}  // namespace sslmot
