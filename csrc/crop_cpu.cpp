#include <algorithm>
#include <cstring>
#include <vector>

#include "crop.h"
#include "simd.h"

namespace sslmot {

namespace {

// sums[i] += first * row[i] + second * next[i]: most of the work of a crop.
SSLMOT_SIMD_CLONES
void add_rows(const uint8_t* row, const uint8_t* next, float first, float second, int64_t length,
              float* sums) {
    for (int64_t i = 0; i < length; ++i) {
        sums[i] += first * static_cast<float>(row[i]) + second * static_cast<float>(next[i]);
    }
}

// The three channels of a pixel and an unused fourth number, in one register.
using Pixel = float __attribute__((vector_size(16)));

Pixel load(const float* from) {
    Pixel pixel;
    std::memcpy(&pixel, from, sizeof pixel);
    return pixel;
}

// The horizontal resampling of a box, the same for all of its rows.
struct Columns {
    int64_t left = 0, span = 0;        // pixels of a row of the frame that are read
    int64_t begin = 0, end = 0;        // columns that read any pixel; the others are padding
    int64_t taps = 0;                  // per column; columns with fewer have weights of 0
    std::vector<int64_t> first;        // first pixel of each column, from `left`
    std::vector<float> weights, sums;  // (end - begin, taps), and their sums over the taps
};

void set_columns(const float* box, int64_t width, int64_t length, Columns& columns) {
    std::vector<CropTaps> all(static_cast<size_t>(width));
    columns.taps = 0;
    for (int64_t x = 0; x < width; ++x) {
        all[static_cast<size_t>(x)] = crop_taps(box[0], box[2], x, width, length);
        columns.taps = std::max(columns.taps, all[static_cast<size_t>(x)].count);
    }
    columns.left = all.front().first;
    columns.span = all.back().first + all.back().count - columns.left;
    columns.first.clear();
    columns.weights.clear();
    columns.sums.clear();
    const auto some = [](const CropTaps& taps) { return taps.count > 0; };
    const auto begin = std::find_if(all.begin(), all.end(), some);
    const auto end = std::find_if_not(begin, all.end(), some);
    columns.begin = begin - all.begin(), columns.end = end - all.begin();
    for (auto column = begin; column != end; ++column) {
        const CropTaps& taps = *column;
        columns.first.push_back(taps.first - columns.left);
        float sum = 0.0F;
        for (int64_t k = 0; k < columns.taps; ++k) {
            columns.weights.push_back(k < taps.count ? taps[k] : 0.0F);
            sum += columns.weights.back();
        }
        columns.sums.push_back(sum);
    }
}

// Output and normalisation of the channels of a row: (sum - offset * inside) * scale.
struct Planes {
    float* row[3];
    Pixel offset, scale;
};

// Compute a row of a crop from vertical sums: pixels of three floats, followed by zeros.
SSLMOT_SIMD_CLONES
void finish_row(const float* line, const Columns& columns, float row_sum, const Planes& planes) {
    const int64_t taps = columns.taps;
    const size_t count = columns.first.size();
    const float* weight = columns.weights.data();
    const int64_t* first = columns.first.data();
    const float* sums = columns.sums.data();
    const Pixel offset = planes.offset * row_sum, scale = planes.scale;
    const int64_t begin = columns.begin;
    float *const a = planes.row[0] + begin, *const b = planes.row[1] + begin,
                 *const c = planes.row[2] + begin;
    for (size_t x = 0; x < count; ++x, weight += taps) {
        const float* from = line + 3 * first[x];
        Pixel sum = {};
        for (int64_t k = 0; k < taps; ++k) sum += weight[k] * load(from + 3 * k);
        sum = (sum - offset * sums[x]) * scale;
        a[x] = sum[0];
        b[x] = sum[1];
        c[x] = sum[2];
    }
}

}  // namespace

void crop_cpu(const CropFrame& frame, const float* boxes, int64_t n, CropFormat format,
              float* out) {
    const int64_t height = format.height, width = format.width, plane = height * width;
    Columns columns;
    std::vector<float> line;

    for (const float* box = boxes; box != boxes + 4 * n; box += 4, out += 3 * plane) {
        set_columns(box, width, frame.width, columns);
        Planes planes = {};
        for (int64_t c = 0; c < 3; ++c) {
            const int64_t made = format.bgr_to_rgb ? 2 - c : c;
            planes.row[c] = out + made * plane;
            planes.offset[c] = 255.0F * format.mean[made];
            planes.scale[c] = 1.0F / (255.0F * format.std[made]);
        }
        for (int64_t y = 0; y < height; ++y) {
            // Vertically first, two rows per pass: rows are contiguous in memory.
            const CropTaps rows = crop_taps(box[1], box[3], y, height, frame.height);
            float row_sum = 0.0F;
            line.assign(static_cast<size_t>(3 * (columns.span + columns.taps) + 1), 0.0F);
            for (int64_t k = 0; k < rows.count; k += 2) {
                const bool pair = k + 1 < rows.count;
                const float first = rows[k], second = pair ? rows[k + 1] : 0.0F;
                const uint8_t* row =
                    frame.data + (rows.first + k) * frame.row_stride + 3 * columns.left;
                add_rows(row, pair ? row + frame.row_stride : row, first, second, 3 * columns.span,
                         line.data());
                row_sum += first + second;
            }
            finish_row(line.data(), columns, row_sum, planes);
            for (float*& row : planes.row) {
                std::fill(row, row + columns.begin, 0.0F);
                std::fill(row + columns.end, row + width, 0.0F);
                row += width;
            }
        }
    }
}

}  // namespace sslmot
