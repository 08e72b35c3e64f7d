#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "assign.h"
#include "associate_cuda.h"
#include "chunk.cuh"
#include "cost.h"
#include "cuda_device.h"

namespace sslmot {

namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;

// Cosines are made one by one where fewer than one in kSparse of all pairs are candidates: each of
// them reads two whole features, which a tile of the dense kernel reads once for many.
constexpr int64_t kSparse = 16;

struct ListedPairs {
    const int64_t* rows;     // (P) of the table
    const int32_t* columns;  // (P) of the embeddings
    int64_t count, dim;
    const float* table;        // (S, D)
    const float* table_norms;  // (S)
    const float* embeddings;   // (N, D)
    const float* norms;        // (N)
    float* cosines;            // out: (P)
};

__device__ float sum_of_warp(float x) {
    for (int other = kWarp / 2; other > 0; other /= 2) x += __shfl_xor_sync(0xffffffffU, x, other);
    return x;
}

// A warp a pair.
__global__ void __launch_bounds__(kThreads) cosine_kernel(const ListedPairs q, bool whole) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int64_t warps = static_cast<int64_t>(gridDim.x) * (kThreads / kWarp);
    int64_t pair = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
    for (; pair < q.count; pair += warps) {
        const int64_t row = q.rows[pair], column = q.columns[pair];
        const float* const x = q.table + row * q.dim;
        const float* const y = q.embeddings + column * q.dim;
        float dot = 0.0F;
#pragma unroll 4
        for (int64_t k = lane * Chunk<float>::kSize; k < q.dim; k += kWarp * Chunk<float>::kSize) {
            const Chunk<float> a = load_chunk(x, k, q.dim, whole);
            const Chunk<float> b = load_chunk(y, k, q.dim, whole);
#pragma unroll
            for (int i = 0; i < Chunk<float>::kSize; ++i) dot += a.values[i] * b.values[i];
        }
        dot = sum_of_warp(dot);
        if (lane == 0) q.cosines[pair] = cosine(dot, q.table_norms[row], q.norms[column]);
    }
}

// A block a row; the conditions are those of blend, in associate.cpp.
__global__ void __launch_bounds__(kThreads)
    blend_kernel(float* table, float* table_norms, const int64_t* rows, const float* features,
                 const float* norms, const int64_t* columns, const float* delta, int64_t dim) {
    __shared__ float squares[kThreads / kWarp];
    const int64_t row = rows[blockIdx.x], column = columns[blockIdx.x];
    float* const old = table + row * dim;
    const float* const fresh = features + column * dim;
    const float norm = norms[column], old_norm = table_norms[row];
    const bool known = !(norm < kSmallestNorm);
    if (!known && old_norm > 0.0F) return;
    const float keep = old_norm > 0.0F ? delta[blockIdx.x] : 0.0F;
    const float add = known ? (1.0F - keep) / norm : 0.0F;
    const int thread = static_cast<int>(threadIdx.x);

    float square = 0.0F;
    for (int64_t k = thread; k < dim; k += kThreads) {
        const float x = keep * old[k] + add * fresh[k];
        old[k] = x;
        square += x * x;
    }
    square = sum_of_warp(square);
    if (thread % kWarp == 0) squares[thread / kWarp] = square;
    __syncthreads();
    float sum = 0.0F;
    for (const float x : squares) sum += x;
    const float length = sqrtf(sum);
    const bool unit = length > kSmallestMix;  // not so: unknown, or two opposite features
    const float scale = unit ? 1.0F / length : 0.0F;
    for (int64_t k = thread; k < dim; k += kThreads) old[k] *= scale;
    if (thread == 0) table_norms[row] = unit ? 1.0F : 0.0F;
}

// One array, in both buffers of a frame.
template <class T>
struct Span {
    T* host = nullptr;
    T* device = nullptr;
};

// Deals out the buffers of a frame from the front: first what goes to the device, then, after
// upload(), what comes back.
class Buffers {
  public:
    explicit Buffers(const CudaFrame& frame) : frame_(frame) {}

    template <class T>
    Span<T> take(int64_t count) {
        const int64_t begin = used_;
        used_ += (count * static_cast<int64_t>(sizeof(T)) + 15) / 16 * 16;
        if (used_ > frame_.size) throw std::length_error("buffers of a frame: too small");
        return {reinterpret_cast<T*>(frame_.host + begin),
                reinterpret_cast<T*>(frame_.device + begin)};
    }

    // A copy of an array on the device, from upload() on; null for null.
    template <class T>
    const T* put(const T* values, int64_t count) {
        if (!values) return nullptr;
        const Span<T> span = take<T>(count);
        std::copy(values, values + count, span.host);
        return span.device;
    }

    void upload() const { copy(frame_.device, frame_.host, used_, cudaMemcpyHostToDevice); }

    // Brings an array to the host and waits for it, and so for all that was launched before.
    template <class T>
    void download(const Span<T>& span, int64_t count) const {
        copy(span.host, span.device, count * static_cast<int64_t>(sizeof(T)),
             cudaMemcpyDeviceToHost);
        check_cuda(cudaStreamSynchronize(stream()), "cost of a frame");
    }

    cudaStream_t stream() const { return static_cast<cudaStream_t>(frame_.stream); }

  private:
    void copy(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) const {
        if (bytes > 0)
            check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream()),
                       "copy of a frame");
    }

    const CudaFrame& frame_;
    int64_t used_ = 0;
};

// Turns the distances of candidates into costs, by cosines from the device.
void cost_of_candidates(const FeatureSet& track_features, const float* reach,
                        const float* min_affinity, const FeatureSet& detection_features,
                        const PairParams& params, const CudaFrame& frame, Candidates& pairs) {
    const auto count = static_cast<int64_t>(pairs.columns.size());
    if (count == 0) return;
    Buffers buffers(frame);
    const Span<int64_t> rows = buffers.take<int64_t>(count);
    const auto tracks = static_cast<int64_t>(pairs.row_begin.size()) - 1;
    for (int64_t i = 0; i < tracks; ++i)
        std::fill(rows.host + pairs.row_begin[static_cast<size_t>(i)],
                  rows.host + pairs.row_begin[static_cast<size_t>(i) + 1], track_features.row(i));
    ListedPairs q{};
    q.rows = rows.device;
    q.columns = buffers.put(pairs.columns.data(), count);
    q.count = count, q.dim = track_features.dim;
    q.table = track_features.data, q.table_norms = track_features.norms;
    q.embeddings = detection_features.data, q.norms = detection_features.norms;
    buffers.upload();
    const Span<float> cosines = buffers.take<float>(count);
    q.cosines = cosines.device;

    const bool whole =
        whole_chunks<float>(q.table, q.dim) && whole_chunks<float>(q.embeddings, q.dim);
    const int64_t blocks = std::min<int64_t>((count * kWarp + kThreads - 1) / kThreads, 1 << 20);
    const auto grid = static_cast<unsigned>(blocks);
    cosine_kernel<<<grid, kThreads, 0, buffers.stream()>>>(q, whole);
    check_cuda(cudaGetLastError(), "cosine kernel");
    buffers.download(cosines, count);

    for (int64_t i = 0; i < tracks; ++i) {
        const TrackGate gate = track_gate(reach, min_affinity, i, params);
        const auto row = static_cast<size_t>(i);
        for (int32_t e = pairs.row_begin[row]; e < pairs.row_begin[row + 1]; ++e) {
            float& value = pairs.values[static_cast<size_t>(e)];
            value = pair_cost(cosines.host[e], value, gate, params);
        }
    }
}

// Finds the pairs below the gate, and what they cost, in the matrix of all.
void cost_of_all(const BoxSet& tracks, const FeatureSet& track_features, const float* reach,
                 const float* min_affinity, const BoxSet& detections,
                 const FeatureSet& detection_features, const PairParams& params,
                 const CudaFrame& frame, Candidates& pairs) {
    const int64_t t = tracks.count, n = detections.count;
    Buffers buffers(frame);
    CostProblem q{};
    q.batch = 1, q.tracks = t, q.detections = n, q.dim = track_features.dim;
    q.appearance = true, q.element = Element::f32;
    q.track_features = track_features.data;
    q.detection_features = detection_features.data;
    q.track_norms = track_features.norms;
    q.detection_norms = detection_features.norms;
    q.track_rows = buffers.put(track_features.rows, t);
    q.track_boxes = buffers.put(tracks.boxes, 4 * t);
    q.detection_boxes = buffers.put(detections.boxes, 4 * n);
    q.reach = buffers.put(reach, t);
    q.min_affinity = buffers.put(min_affinity, t);
    q.track_classes = buffers.put(tracks.classes, t);
    q.detection_classes = buffers.put(detections.classes, n);
    q.params = params;
    buffers.upload();
    const Span<float> cost = buffers.take<float>(t * n);
    q.cost = cost.device;
    cost_cuda(q, frame.device_id, frame.stream);
    buffers.download(cost, t * n);

    pairs.clear();
    const float* c = cost.host;
    for (int64_t i = 0; i < t; ++i) {
        for (int64_t j = 0; j < n; ++j, ++c) {
            if (*c >= params.gate) continue;  // a NaN stays: the solver reports it
            pairs.columns.push_back(static_cast<int32_t>(j));
            pairs.values.push_back(*c);
        }
        pairs.end_row();
    }
}

}  // namespace

int64_t cuda_frame_bytes(int64_t tracks, int64_t detections) {
    // All arrays of cost_of_all, each rounded up to 16 bytes; those of cost_of_candidates are
    // 8 + 4 + 4 bytes a pair, of which there is one in kSparse at most.
    constexpr int64_t arrays = 8;
    const int64_t track = 8 + 16 + 4 + 4 + 4, detection = 16 + 4;
    return track * tracks + detection * detections + 4 * tracks * detections + 16 * arrays;
}

void associate_cuda(const BoxSet& tracks, const FeatureSet& track_features, const float* reach,
                    const float* min_affinity, const BoxSet& detections,
                    const FeatureSet& detection_features, const PairParams& params,
                    const CudaFrame& frame, Candidates& pairs, int32_t* match) {
    const CurrentDevice current(frame.device_id);
    const int64_t t = tracks.count, n = detections.count;
    // With an unlimited reach all pairs are candidates: no need to list them.
    const bool limited = std::any_of(reach, reach + t, [](float r) { return std::isfinite(r); });
    if (limited) find_candidates(tracks, reach, detections, params, pairs);
    if (limited && kSparse * static_cast<int64_t>(pairs.columns.size()) <= t * n)
        cost_of_candidates(track_features, reach, min_affinity, detection_features, params, frame,
                           pairs);
    else
        cost_of_all(tracks, track_features, reach, min_affinity, detections, detection_features,
                    params, frame, pairs);
    assign_sparse(pairs.row_begin.data(), pairs.columns.data(), pairs.values.data(), t, n,
                  static_cast<double>(params.gate), match);
}

void blend_cuda(float* table, float* table_norms, const int64_t* rows, const float* features,
                const float* norms, const int64_t* columns, const float* delta, int64_t n,
                int64_t dim, int device_id, void* stream) {
    if (n == 0) return;
    const CurrentDevice current(device_id);
    const auto grid = static_cast<unsigned>(n);
    blend_kernel<<<grid, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
        table, table_norms, rows, features, norms, columns, delta, dim);
    check_cuda(cudaGetLastError(), "blend kernel");
}

}  // namespace sslmot
