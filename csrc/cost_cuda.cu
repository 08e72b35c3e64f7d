#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "cost.h"
#include "cuda_device.h"

namespace sslmot {

namespace {

constexpr int kTile = 16;   // a block computes kTile x kTile pairs, one a thread
constexpr int kSlice = 32;  // features staged in shared memory at a time

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

// From features to cost in one pass: dot product and both norms accumulate side by side, the
// epilogue is pair.h. blockIdx.z walks over the batch in strides of the grid.
template <class T>
__global__ void cost_kernel(CostProblem q) {
    __shared__ float tracks[kTile][kSlice + 1];  // + 1: no two threads on one bank
    __shared__ float detections[kTile][kSlice + 1];
    const int64_t row = static_cast<int64_t>(blockIdx.y) * kTile + threadIdx.y;
    const int64_t col = static_cast<int64_t>(blockIdx.x) * kTile + threadIdx.x;
    const bool inside = row < q.tracks && col < q.detections;

    for (int64_t b = blockIdx.z; b < q.batch; b += gridDim.z) {
        float dot = 0, track_square = 0, detection_square = 0;
        if (q.appearance) {
            const T* t = static_cast<const T*>(q.track_features) + b * q.tracks * q.dim;
            const T* n = static_cast<const T*>(q.detection_features) + b * q.detections * q.dim;
            const int64_t n_row = static_cast<int64_t>(blockIdx.x) * kTile + threadIdx.y;
            for (int64_t begin = 0; begin < q.dim; begin += kSlice) {
                for (int k = static_cast<int>(threadIdx.x); k < kSlice; k += kTile) {
                    const int64_t d = begin + k;
                    const bool in_slice = d < q.dim;
                    tracks[threadIdx.y][k] =
                        in_slice && row < q.tracks ? to_float(t[row * q.dim + d]) : 0.0F;
                    detections[threadIdx.y][k] =
                        in_slice && n_row < q.detections ? to_float(n[n_row * q.dim + d]) : 0.0F;
                }
                __syncthreads();
#pragma unroll
                for (int k = 0; k < kSlice; ++k) {
                    const float x = tracks[threadIdx.y][k];
                    const float y = detections[threadIdx.x][k];
                    dot += x * y;
                    track_square += x * x;
                    detection_square += y * y;
                }
                __syncthreads();
            }
        }
        if (!inside) continue;
        const int64_t track = b * q.tracks + row;
        const int64_t detection = b * q.detections + col;
        const PairParams& p = q.params;
        float c = p.gate;
        if (!q.track_classes || q.track_classes[track] == q.detection_classes[detection]) {
            const float cos =
                q.appearance ? cosine(dot, sqrtf(track_square), sqrtf(detection_square)) : 1.0F;
            c = pair_cost(cos,
                          distance(make_box(q.track_boxes + 4 * track),
                                   make_box(q.detection_boxes + 4 * detection), p),
                          track_gate(q.reach, q.min_affinity, track, p), p);
        }
        q.cost[track * q.detections + col] = c;
    }
}

template <class T>
void launch(const CostProblem& q, cudaStream_t stream) {
    const auto tiles = [](int64_t n) { return static_cast<unsigned>((n + kTile - 1) / kTile); };
    constexpr int64_t most = 65535;  // of gridDim.y and gridDim.z
    if (q.tracks > most * kTile)
        throw std::invalid_argument("cost: expected at most " + std::to_string(most * kTile) +
                                    " tracks, got " + std::to_string(q.tracks));
    const dim3 grid(tiles(q.detections), tiles(q.tracks),
                    static_cast<unsigned>(q.batch < most ? q.batch : most));
    cost_kernel<T><<<grid, dim3(kTile, kTile), 0, stream>>>(q);
}

}  // namespace

void cost_cuda(const CostProblem& q, int device, void* stream) {
    if (q.batch == 0 || q.tracks == 0 || q.detections == 0) return;
    const CurrentDevice current(device);
    const auto s = static_cast<cudaStream_t>(stream);
    switch (q.element) {
        case Element::f32:
            launch<float>(q, s);
            break;
        case Element::f16:
            launch<__half>(q, s);
            break;
        case Element::bf16:
            launch<__nv_bfloat16>(q, s);
            break;
    }
    check_cuda(cudaGetLastError(), "cost kernel");
}

int cuda_device_count() {
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess) {
        cudaGetLastError();  // clear it: the absence of a driver is an answer, not a failure
        return 0;
    }
    return count;
}

}  // namespace sslmot
