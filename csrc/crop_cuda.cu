#include <cuda_runtime.h>

#include "crop.h"
#include "cuda_device.h"

namespace sslmot {

namespace {

constexpr int kThreads = 256;

// One thread per pixel of a crop; neighbours in a row read neighbouring pixels of the frame. Sums
// run in the order of crop_cpu.cpp: down each column, then over the columns.
__global__ void crop_kernel(CropFrame frame, const float* boxes, int64_t n, CropFormat format,
                            float* out) {
    const int64_t plane = format.height * format.width, pixels = n * plane;
    const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < pixels;
         i += step) {
        const int64_t x = i % format.width, y = i % plane / format.width;
        const float* box = boxes + 4 * (i / plane);
        const CropTaps columns = crop_taps(box[0], box[2], x, format.width, frame.width);
        const CropTaps rows = crop_taps(box[1], box[3], y, format.height, frame.height);

        float row_sum = 0.0F, column_sum = 0.0F, sums[3] = {};
        for (int64_t k = 0; k < rows.count; ++k) row_sum += rows[k];
        for (int64_t j = 0; j < columns.count; ++j) {
            const uint8_t* pixel =
                frame.data + rows.first * frame.row_stride + 3 * (columns.first + j);
            float column[3] = {};
            for (int64_t k = 0; k < rows.count; ++k, pixel += frame.row_stride) {
                const float weight = rows[k];
                for (int c = 0; c < 3; ++c) column[c] += weight * static_cast<float>(pixel[c]);
            }
            const float weight = columns[j];
            for (int c = 0; c < 3; ++c) sums[c] += weight * column[c];
            column_sum += weight;
        }

        float* const first = out + i / plane * 3 * plane + i % plane;
        for (int c = 0; c < 3; ++c) {
            const float sum = sums[format.bgr_to_rgb ? 2 - c : c];
            first[c * plane] = normalise(format, sum, row_sum * column_sum, c);
        }
    }
}

}  // namespace

void crop_cuda(const CropFrame& frame, const float* boxes, int64_t n, CropFormat format, float* out,
               int device, void* stream) {
    const int64_t blocks = (n * format.height * format.width + kThreads - 1) / kThreads;
    if (blocks == 0) return;
    constexpr int64_t most = 1 << 20;  // the kernel reaches the rest in strides of the grid
    const CurrentDevice current(device);
    crop_kernel<<<static_cast<unsigned>(blocks < most ? blocks : most), kThreads, 0,
                  static_cast<cudaStream_t>(stream)>>>(frame, boxes, n, format, out);
    check_cuda(cudaGetLastError(), "crop kernel");
}

}  // namespace sslmot
