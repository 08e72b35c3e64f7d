#include <utility>
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

}  // namespace

void crop_cpu(const CropFrame& frame, const float* boxes, int64_t n, CropFormat format,
              float* out) {
    const int64_t height = format.height, width = format.width, plane = height * width;
    std::vector<CropTaps> columns(static_cast<size_t>(width));
    std::vector<float> column_sums(columns.size()), weights, line;

    for (const float* box = boxes; box != boxes + 4 * n; box += 4) {
        // The columns are alike for all rows of a box.
        weights.clear();
        for (size_t x = 0; x < columns.size(); ++x) {
            columns[x] = crop_taps(box[0], box[2], static_cast<int64_t>(x), width, frame.width);
            column_sums[x] = 0.0F;
            for (int64_t k = 0; k < columns[x].count; ++k) {
                weights.push_back(columns[x][k]);
                column_sums[x] += weights.back();
            }
        }
        const int64_t left = columns.front().first;
        const int64_t span = columns.back().first + columns.back().count - left;

        for (int64_t y = 0; y < height; ++y) {
            // Rows first, two a pass: they are contiguous in memory.
            const CropTaps rows = crop_taps(box[1], box[3], y, height, frame.height);
            float row_sum = 0.0F;
            line.assign(static_cast<size_t>(3 * span), 0.0F);
            for (int64_t k = 0; k < rows.count; k += 2) {
                const bool pair = k + 1 < rows.count;
                const float first = rows[k], second = pair ? rows[k + 1] : 0.0F;
                const uint8_t* row = frame.data + (rows.first + k) * frame.row_stride + 3 * left;
                add_rows(row, pair ? row + frame.row_stride : row, first, second, 3 * span,
                         line.data());
                row_sum += first + second;
            }

            const float* weight = weights.data();
            for (size_t x = 0; x < columns.size(); ++x) {
                const float* pixel = line.data() + 3 * (columns[x].first - left);
                float sums[3] = {};
                for (int64_t k = 0; k < columns[x].count; ++k, ++weight, pixel += 3) {
                    for (int c = 0; c < 3; ++c) sums[c] += *weight * pixel[c];
                }
                if (format.bgr_to_rgb) std::swap(sums[0], sums[2]);
                const float inside = row_sum * column_sums[x];
                for (int c = 0; c < 3; ++c) {
                    out[c * plane + y * width + static_cast<int64_t>(x)] =
                        normalise(format, sums[c], inside, c);
                }
            }
        }
        out += 3 * plane;
    }
}

}  // namespace sslmot
