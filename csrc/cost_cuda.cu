#include <cuda_runtime.h>
#include <mma.h>

#include <limits>
#include <stdexcept>
#include <string>

#include "chunk.cuh"
#include "cost.h"
#include "cuda_device.h"

namespace sslmot {

namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;

// Dot products of a tile of pairs in float32: each thread computes 4 x 4 of them. If a tile needs
// fewer threads than a block has, groups of threads share it, each for a part of the features.
template <class T, int kTile>
class ScalarProduct {
    static constexpr int kEdge = kTile / 4;
    static constexpr int kGroup = kEdge * kEdge;

  public:
    using Element = T;
    using Stored = float;  // in shared memory
    static constexpr int kRows = kTile, kCols = kTile;
    static constexpr int kParts = kThreads / kGroup;  // partial sums of a pair
    static constexpr int kSlice = 4096 / kTile;       // features in shared memory at a time
    static constexpr int kStored = 2 * kTile * kSlice;
    static constexpr int kResident = 2;  // blocks on a multiprocessor at once

    __device__ static void put(float* slice, int row, int first, const Chunk<T>& chunk) {
#pragma unroll
        for (int i = 0; i < Chunk<T>::kSize; ++i)
            slice[place(row, first + i)] = to_float(chunk.values[i]);
    }

    __device__ void add(const float* slice) {
        constexpr int share = kSlice / kParts;
        const int thread = static_cast<int>(threadIdx.x);
        const int begin = thread / kGroup * share;
        const int row = thread % kGroup / kEdge * 4, col = thread % kEdge * 4;
#pragma unroll 8
        for (int k = begin; k < begin + share; ++k) {
            const auto x = *reinterpret_cast<const Chunk<float>*>(slice + place(row, k));
            const auto y = *reinterpret_cast<const Chunk<float>*>(slice + place(kTile + col, k));
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) sums_[i][j] += x.values[i] * y.values[j];
        }
    }

    __device__ void write(float* dots) const {
        const int thread = static_cast<int>(threadIdx.x);
        const int row = thread % kGroup / kEdge * 4, col = thread % kEdge * 4;
        float* const first = dots + thread / kGroup * kTile * kTile + row * kTile + col;
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int j = 0; j < 4; ++j) first[i * kTile + j] = sums_[i][j];
    }

  private:
    // Place of feature k of a row. The rows of one feature are side by side: a thread reads its
    // four at once. Groups of four change places from chunk to chunk: the threads of a warp store
    // whole chunks of a few rows, and would else write to few banks.
    __device__ static int place(int row, int k) {
        return k * 2 * kTile + ((row / 4) ^ (k / 4 % kEdge)) * 4 + row % 4;
    }

    float sums_[4][4] = {};
};

// Dot products of a tile of pairs by tensor cores, which multiply halves exactly and sum in
// float32: each warp computes kDown x kAcross squares of 16 x 16. Further warps share the features.
// Needs compute capability 8.0.
template <class T, int kTileRows, int kTileCols, int kDown, int kAcross>
class TensorProduct {
    static constexpr int kSquare = 16;
    static constexpr int kWarpsAcross = kTileCols / (kSquare * kAcross);
    static constexpr int kGroup = kTileRows / (kSquare * kDown) * kWarpsAcross;  // warps

  public:
    using Element = T;
    using Stored = T;
    static constexpr int kRows = kTileRows, kCols = kTileCols;
    static constexpr int kParts = kThreads / kWarp / kGroup;
    static constexpr int kSlice = kRows + kCols > 64 ? 64 : 16384 / (kRows + kCols);

  private:
    static constexpr int kStride = kSlice + 8;  // 16 bytes more: rows begin in different banks

  public:
    static constexpr int kStored = (kRows + kCols) * kStride;
    static constexpr int kResident = 1;

    __device__ TensorProduct() {
#pragma unroll
        for (int i = 0; i < kDown; ++i)
#pragma unroll
            for (int j = 0; j < kAcross; ++j) nvcuda::wmma::fill_fragment(sums_[i][j], 0.0F);
    }

    __device__ static void put(T* slice, int row, int first, const Chunk<T>& chunk) {
        *reinterpret_cast<Chunk<T>*>(slice + row * kStride + first) = chunk;
    }

    __device__ void add(const T* slice) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
        namespace wmma = nvcuda::wmma;
        using Rows = wmma::fragment<wmma::matrix_a, kSquare, kSquare, kSquare, T, wmma::row_major>;
        using Cols = wmma::fragment<wmma::matrix_b, kSquare, kSquare, kSquare, T, wmma::col_major>;
        constexpr int share = kSlice / kParts;
        const int begin = part() * share;
        const T* const rows = slice + row() * kStride;
        const T* const cols = slice + (kRows + col()) * kStride;
#pragma unroll
        for (int k = begin; k < begin + share; k += kSquare) {
            Rows x[kDown];
            Cols y[kAcross];
#pragma unroll
            for (int i = 0; i < kDown; ++i)
                wmma::load_matrix_sync(x[i], rows + i * kSquare * kStride + k, kStride);
#pragma unroll
            for (int j = 0; j < kAcross; ++j)
                wmma::load_matrix_sync(y[j], cols + j * kSquare * kStride + k, kStride);
#pragma unroll
            for (int i = 0; i < kDown; ++i)
#pragma unroll
                for (int j = 0; j < kAcross; ++j)
                    wmma::mma_sync(sums_[i][j], x[i], y[j], sums_[i][j]);
        }
#endif
    }

    __device__ void write(float* dots) const {
        float* const first = dots + part() * kRows * kCols + row() * kCols + col();
#pragma unroll
        for (int i = 0; i < kDown; ++i)
#pragma unroll
            for (int j = 0; j < kAcross; ++j)
                nvcuda::wmma::store_matrix_sync(first + i * kSquare * kCols + j * kSquare,
                                                sums_[i][j], kCols, nvcuda::wmma::mem_row_major);
    }

  private:
    __device__ static int warp() { return static_cast<int>(threadIdx.x) / kWarp; }
    __device__ static int part() { return warp() / kGroup; }
    __device__ static int row() { return warp() % kGroup / kWarpsAcross * kSquare * kDown; }
    __device__ static int col() { return warp() % kWarpsAcross * kSquare * kAcross; }

    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, kSquare, kSquare, kSquare, float>
        sums_[kDown][kAcross];
};

__host__ __device__ inline int64_t tiles(int64_t length, int tile) {
    return (length + tile - 1) / tile;
}

// From features to cost in one pass. A block computes a tile of pairs: slices of the features go
// through shared memory, and the next slice loads while one is multiplied. Then each thread
// computes the costs of some pairs by pair.h. The order of sums is the same in every launch.
template <class Product>
__global__ void __launch_bounds__(kThreads, Product::kResident)
    cost_kernel(const CostProblem q, bool whole) {
    using T = typename Product::Element;
    constexpr int kRows = Product::kRows, kCols = Product::kCols, kPairs = kRows * kCols;
    constexpr int kBoth = kRows + kCols;  // boxes of a tile: its tracks, then its detections
    constexpr int kChunks = Product::kSlice / Chunk<T>::kSize;  // of a row in a slice
    constexpr int kStep = kThreads / kChunks;                   // rows that are loaded at once
    constexpr int kPasses = kBoth / kStep;
    constexpr int kLanes = kChunks < kWarp ? kChunks : kWarp;  // of a warp at one row
    static_assert(kThreads % kChunks == 0 && kBoth % kStep == 0 && kRows % kStep == 0, "");
    static_assert(kBoth <= kThreads && (kLanes & (kLanes - 1)) == 0, "");

    constexpr size_t kSliceBytes = Product::kStored * sizeof(typename Product::Stored);
    constexpr size_t kDotBytes = sizeof(float) * Product::kParts * kPairs;
    alignas(32) __shared__ unsigned char memory[kSliceBytes > kDotBytes ? kSliceBytes : kDotBytes];
    __shared__ float squares[kBoth][kChunks / kLanes];
    __shared__ float norms[kBoth];
    __shared__ Box boxes[kBoth];
    auto* const slice = reinterpret_cast<typename Product::Stored*>(memory);
    auto* const dots = reinterpret_cast<float*>(memory);  // after the last slice

    const PairParams& p = q.params;
    const int thread = static_cast<int>(threadIdx.x);
    const int chunk = thread % kChunks;
    const int64_t down = tiles(q.tracks, kRows), across = tiles(q.detections, kCols);
    const int64_t tile = blockIdx.x;
    const int64_t problem = tile / (down * across);
    const int64_t first_row = tile / across % down * kRows, first_col = tile % across * kCols;
    // Track or detection, counted over all problems, at place i of the tile; -1 for none.
    const auto track_at = [&](int i) {
        return first_row + i < q.tracks ? problem * q.tracks + first_row + i : -1;
    };
    const auto detection_at = [&](int i) {
        return first_col + i < q.detections ? problem * q.detections + first_col + i : -1;
    };
    const auto track_row = [&](int64_t track) {
        return q.track_rows ? q.track_rows[track] : track;
    };
    const auto detection_row = [&](int64_t detection) {
        return q.detection_rows ? q.detection_rows[detection] : detection;
    };

    Product product;
    if (q.appearance) {
        const T* rows[kPasses];
        float sums[kPasses] = {};  // of squares
        Chunk<T> chunks[kPasses];
#pragma unroll
        for (int i = 0; i < kPasses; ++i) {
            const int at = i * kStep + thread / kChunks;
            const int64_t box = at < kRows ? track_at(at) : detection_at(at - kRows);
            rows[i] = nullptr;
            if (box >= 0 && at < kRows)
                rows[i] = static_cast<const T*>(q.track_features) + track_row(box) * q.dim;
            if (box >= 0 && at >= kRows)
                rows[i] = static_cast<const T*>(q.detection_features) + detection_row(box) * q.dim;
        }
        const auto load = [&](int64_t begin) {
#pragma unroll
            for (int i = 0; i < kPasses; ++i)
                chunks[i] = load_chunk(rows[i], begin + chunk * Chunk<T>::kSize, q.dim, whole);
        };
        const bool measure = !q.track_norms || !q.detection_norms;
        load(0);
        for (int64_t begin = 0; begin < q.dim; begin += Product::kSlice) {
#pragma unroll
            for (int i = 0; i < kPasses; ++i) {
                Product::put(slice, i * kStep + thread / kChunks, chunk * Chunk<T>::kSize,
                             chunks[i]);
                if (!measure) continue;
#pragma unroll
                for (int k = 0; k < Chunk<T>::kSize; ++k) {
                    const float x = to_float(chunks[i].values[k]);
                    sums[i] += x * x;
                }
            }
            __syncthreads();
            if (begin + Product::kSlice < q.dim) load(begin + Product::kSlice);
            product.add(slice);
            __syncthreads();
        }
        product.write(dots);
        if (measure) {
#pragma unroll
            for (int i = 0; i < kPasses; ++i) {
                for (int lane = kLanes / 2; lane > 0; lane /= 2)
                    sums[i] += __shfl_xor_sync(0xffffffffU, sums[i], lane);
                if (chunk % kLanes == 0)
                    squares[i * kStep + thread / kChunks][chunk / kLanes] = sums[i];
            }
            __syncthreads();
        }
    }
    if (thread < kBoth) {
        const bool is_track = thread < kRows;
        const int64_t box = is_track ? track_at(thread) : detection_at(thread - kRows);
        if (box >= 0) {
            boxes[thread] = make_box((is_track ? q.track_boxes : q.detection_boxes) + 4 * box);
            const float* const known = is_track ? q.track_norms : q.detection_norms;
            if (q.appearance && known) {
                norms[thread] = known[is_track ? track_row(box) : detection_row(box)];
            } else if (q.appearance) {
                float sum = 0.0F;
                for (int i = 0; i < kChunks / kLanes; ++i) sum += squares[thread][i];
                norms[thread] = sqrtf(sum);
            }
        }
    }
    __syncthreads();

    for (int pair = thread; pair < kPairs; pair += kThreads) {
        const int row = pair / kCols, col = pair % kCols;
        const int64_t track = track_at(row), detection = detection_at(col);
        if (track < 0 || detection < 0) continue;
        float c = p.max_cost;
        if (!q.track_classes || q.track_classes[track] == q.detection_classes[detection]) {
            float cos = 1.0F;
            if (q.appearance) {
                float dot = 0.0F;
                for (int i = 0; i < Product::kParts; ++i) dot += dots[i * kPairs + pair];
                cos = cosine(dot, norms[row], norms[kRows + col]);
            }
            c = pair_cost(cos, distance(boxes[row], boxes[kRows + col]),
                          track_limits(q.max_distance, q.min_affinity, track, p), p);
        }
        q.cost[track * q.detections + first_col + col] = c;
    }
}

template <class Product>
void launch(const CostProblem& q, cudaStream_t stream) {
    using T = typename Product::Element;
    const bool whole =
        whole_chunks<T>(q.track_features, q.dim) && whole_chunks<T>(q.detection_features, q.dim);
    const int64_t blocks =
        q.batch * tiles(q.tracks, Product::kRows) * tiles(q.detections, Product::kCols);
    constexpr int64_t most = std::numeric_limits<int32_t>::max();
    if (blocks > most)
        throw std::invalid_argument("cost: expected at most " + std::to_string(most) +
                                    " tiles of pairs, got " + std::to_string(blocks));
    cost_kernel<Product><<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(q, whole);
}

// Pick the largest tiles that leave at most a quarter of the multiprocessors idle: large tiles read
// each feature less often. The number of problems does not count: the last bits of a problem's
// costs must not depend on the others.
template <class Product, class... Smaller>
void launch_fitting(const CostProblem& q, int multiprocessors, cudaStream_t stream) {
    if constexpr (sizeof...(Smaller) > 0) {
        const int64_t blocks =
            tiles(q.tracks, Product::kRows) * tiles(q.detections, Product::kCols);
        if (4 * blocks < 3 * multiprocessors) {
            launch_fitting<Smaller...>(q, multiprocessors, stream);
            return;
        }
    }
    launch<Product>(q, stream);
}

template <class T>
void launch_halves(const CostProblem& q, int major, int multiprocessors, cudaStream_t stream) {
    if (major >= 8)
        launch_fitting<TensorProduct<T, 128, 64, 2, 2>, TensorProduct<T, 32, 32, 1, 1>,
                       TensorProduct<T, 16, 16, 1, 1>>(q, multiprocessors, stream);
    else
        launch<ScalarProduct<T, 32>>(q, stream);
}

int attribute(cudaDeviceAttr name, int device) {
    int value = 0;
    check_cuda(cudaDeviceGetAttribute(&value, name, device), "cudaDeviceGetAttribute");
    return value;
}

}  // namespace

void cost_cuda(const CostProblem& q, int device, void* stream) {
    if (q.batch == 0 || q.tracks == 0 || q.detections == 0) return;
    const CurrentDevice current(device);
    const auto s = static_cast<cudaStream_t>(stream);
    const int multiprocessors = attribute(cudaDevAttrMultiProcessorCount, device);
    const int major = attribute(cudaDevAttrComputeCapabilityMajor, device);
    switch (q.element) {
        case Element::f32:
            launch_fitting<ScalarProduct<float, 64>, ScalarProduct<float, 32>,
                           ScalarProduct<float, 16>>(q, multiprocessors, s);
            break;
        case Element::f16:
            launch_halves<__half>(q, major, multiprocessors, s);
            break;
        case Element::bf16:
            launch_halves<__nv_bfloat16>(q, major, multiprocessors, s);
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
