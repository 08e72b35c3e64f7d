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
// Numbers of each row multiplied per pass.
constexpr int64_t kSlice = 512;
// Rows whose slices stay in the second-level cache during a pass over all panels.
constexpr int64_t kBlock = 16 * kRows;
// With fewer rows or columns, packing a panel costs more than it saves.
constexpr int64_t kFew = 8;

// panel[k][j] = b[j][k]: a tile reads contiguous memory.
SSLMOT_SIMD_CLONES
void pack(const float* const* b, int64_t length, float* panel) {
    for (int64_t k = 0; k < length; ++k)
        for (int64_t j = 0; j < kColumns; ++j) panel[k * kColumns + j] = b[j][k];
}

// Add the products of kRows rows and a panel to `out`. Every sum runs through its slice in the same
// order.
SSLMOT_SIMD_CLONES
void multiply(const float* const* a, const float* panel, int64_t length, float* out,
              int64_t stride) {
    float sums[kRows][kColumns] = {};
    const float* row[kRows];
    for (int64_t i = 0; i < kRows; ++i) row[i] = a[i];
    for (int64_t k = 0; k < length; ++k) {
        for (int64_t i = 0; i < kRows; ++i) {
#pragma omp simd
            for (int64_t j = 0; j < kColumns; ++j)
                sums[i][j] += row[i][k] * panel[k * kColumns + j];
        }
    }
    for (int64_t i = 0; i < kRows; ++i)
#pragma omp simd
        for (int64_t j = 0; j < kColumns; ++j) out[i * stride + j] += sums[i][j];
}

// n rows from `first` on; past the end, the last row again.
template <int64_t n>
void take(const float* const* rows, int64_t first, int64_t count, int64_t begin,
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
    const float *row[kRows], *column[kColumns];
    for (int64_t begin = 0; begin < dim; begin += kSlice) {
        const int64_t length = std::min(kSlice, dim - begin);
        const auto panel = [&](int64_t j) { return panels.data() + j * length; };
        for (int64_t j = 0; j < in_panels; j += kColumns) {
            take<kColumns>(b, j, n_b, begin, column);
            pack(column, length, panel(j));
        }
        for (int64_t block = 0; block < n_a; block += kBlock) {
            const int64_t block_end = std::min(block + kBlock, n_a);
            for (int64_t j = 0; j < in_panels; j += kColumns) {
                const int64_t columns = std::min(kColumns, n_b - j);
                for (int64_t i = block; i < block_end; i += kRows) {
                    const int64_t rows = std::min(kRows, n_a - i);
                    take<kRows>(a, i, n_a, begin, row);
                    float* tile = out + i * out_stride + j;
                    if (rows == kRows && columns == kColumns) {
                        multiply(row, panel(j), length, tile, out_stride);
                        continue;
                    }
                    float whole[kRows * kColumns] = {};
                    multiply(row, panel(j), length, whole, kColumns);
                    for (int64_t r = 0; r < rows; ++r)
                        for (int64_t c = 0; c < columns; ++c)
                            tile[r * out_stride + c] += whole[r * kColumns + c];
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
