#include <algorithm>
#include <cmath>
#include <vector>

#include "dot.h"
#include "pair.h"
#include "simd.h"

namespace sslmot {

namespace {

// A tile of products: its sums fill the registers of AVX2, and use those of AVX-512 and NEON well.
constexpr int64_t kRows = 6, kColumns = 16;
// Of a last panel that is half full, as it is where eight rows are compared with eight.
constexpr int64_t kSmall = 8;
// Numbers of each row multiplied per pass.
constexpr int64_t kSlice = 512;
// Rows whose slices stay in the second-level cache during a pass over all panels.
constexpr int64_t kBlock = 16 * kRows;
// With fewer rows or columns, packing a panel costs more than it saves.
constexpr int64_t kFew = 8;

// panel[k][j] = b[j][k]: a tile reads contiguous memory.
template <int64_t columns>
[[gnu::always_inline]] inline void pack_panel(const float* const* b, int64_t length, float* panel) {
    for (int64_t k = 0; k < length; ++k)
        for (int64_t j = 0; j < columns; ++j) panel[k * columns + j] = b[j][k];
}

// Add the products of some rows and a panel to `out`. Every sum runs through its slice in the same
// order.
template <int64_t rows, int64_t columns>
[[gnu::always_inline]] inline void multiply_tile(const float* const* a, const float* panel,
                                                 int64_t length, float* out, int64_t stride) {
    float sums[rows][columns] = {};
    const float* row[rows];
    for (int64_t i = 0; i < rows; ++i) row[i] = a[i];
    for (int64_t k = 0; k < length; ++k) {
        for (int64_t i = 0; i < rows; ++i) {
#pragma omp simd
            for (int64_t j = 0; j < columns; ++j) sums[i][j] += row[i][k] * panel[k * columns + j];
        }
    }
    for (int64_t i = 0; i < rows; ++i)
#pragma omp simd
        for (int64_t j = 0; j < columns; ++j) out[i * stride + j] += sums[i][j];
}

SSLMOT_SIMD_CLONES
void pack(const float* const* b, int64_t length, float* panel) {
    pack_panel<kColumns>(b, length, panel);
}

SSLMOT_SIMD_CLONES
void pack_small(const float* const* b, int64_t length, float* panel) {
    pack_panel<kSmall>(b, length, panel);
}

SSLMOT_SIMD_CLONES
void multiply(const float* const* a, const float* panel, int64_t length, float* out,
              int64_t stride) {
    multiply_tile<kRows, kColumns>(a, panel, length, out, stride);
}

SSLMOT_SIMD_CLONES
void multiply_small(const float* const* a, const float* panel, int64_t length, float* out,
                    int64_t stride) {
    multiply_tile<kSmall, kSmall>(a, panel, length, out, stride);
}

// `n` rows from `first` on; past the end, the last row again.
void take(const float* const* rows, int64_t first, int64_t count, int64_t begin, int64_t n,
          const float** taken) {
    for (int64_t r = 0; r < n; ++r) taken[r] = rows[std::min(first + r, count - 1)] + begin;
}

SSLMOT_SIMD_CLONES
float sum_of_products(const float* a, const float* b, int64_t dim) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < dim; ++k) sum += a[k] * b[k];
    return sum;
}

}  // namespace

float dot(const float* a, const float* b, int64_t dim) { return sum_of_products(a, b, dim); }

void dot_block(const float* const* a, int64_t n_a, const float* const* b, int64_t n_b, int64_t dim,
               float* out, int64_t out_stride) {
    const int64_t rest = n_b % kColumns;
    const int64_t in_panels = n_a < kFew ? 0 : rest < kFew ? n_b - rest : n_b;
    for (int64_t i = 0; i < n_a; ++i) {
        float* row = out + i * out_stride;
        std::fill_n(row, in_panels, 0.0F);
        for (int64_t j = in_panels; j < n_b; ++j) row[j] = dot(a[i], b[j], dim);
    }
    thread_local std::vector<float> panels;  // keeps its memory for the next frame
    const int64_t slice = std::min(kSlice, dim);
    panels.resize(static_cast<size_t>((in_panels + kColumns - 1) / kColumns * kColumns * slice));
    const float *row[std::max(kRows, kSmall)], *column[kColumns];
    const auto is_small = [&](int64_t j) { return in_panels - j == kSmall; };
    for (int64_t begin = 0; begin < dim; begin += kSlice) {
        const int64_t length = std::min(kSlice, dim - begin);
        const auto panel = [&](int64_t j) { return panels.data() + j * length; };
        for (int64_t j = 0; j < in_panels; j += kColumns) {
            take(b, j, n_b, begin, kColumns, column);
            is_small(j) ? pack_small(column, length, panel(j)) : pack(column, length, panel(j));
        }
        for (int64_t block = 0; block < n_a; block += kBlock) {
            const int64_t block_end = std::min(block + kBlock, n_a);
            for (int64_t j = 0; j < in_panels; j += kColumns) {
                const bool small = is_small(j);
                const auto multiply_into = [&](float* tile, int64_t stride) {
                    small ? multiply_small(row, panel(j), length, tile, stride)
                          : multiply(row, panel(j), length, tile, stride);
                };
                const int64_t height = small ? kSmall : kRows, width = small ? kSmall : kColumns;
                const int64_t columns = std::min(width, n_b - j);
                for (int64_t i = block; i < block_end; i += height) {
                    const int64_t rows = std::min(height, n_a - i);
                    take(a, i, n_a, begin, height, row);
                    float* tile = out + i * out_stride + j;
                    if (rows == height && columns == width) {
                        multiply_into(tile, out_stride);
                        continue;
                    }
                    float whole[std::max(kRows * kColumns, kSmall * kSmall)] = {};
                    multiply_into(whole, width);
                    for (int64_t r = 0; r < rows; ++r)
                        for (int64_t c = 0; c < columns; ++c)
                            tile[r * out_stride + c] += whole[r * width + c];
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
