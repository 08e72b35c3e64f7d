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

// Cosines are computed pair by pair if fewer than one in kSparse of all pairs are candidates. Each
// reads two whole features; a tile of the dense kernel reads them once for many pairs.
constexpr int64_t kSparse = 16;

// The features of both sides of a comparison.
struct Sides {
    const float* table;        // (S, D)
    const float* table_norms;  // (S)
    const float* embeddings;   // (N, D)
    const float* norms;        // (N)
    int64_t dim;
    bool whole;  // rows can be read by whole chunks
};

struct alignas(16) ListedPair {
    int64_t row;     // of the table
    int32_t column;  // of the embeddings
    int32_t sides;
};

__device__ float sum_of_warp(float x) {
    for (int other = kWarp / 2; other > 0; other /= 2) x += __shfl_xor_sync(0xffffffffU, x, other);
    return x;
}

// One warp per pair.
__global__ void __launch_bounds__(kThreads)
    cosine_kernel(const Sides* sides, const ListedPair* pairs, int64_t count, float* cosines) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int64_t warps = static_cast<int64_t>(gridDim.x) * (kThreads / kWarp);
    int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
    for (; at < count; at += warps) {
        const ListedPair pair = pairs[at];
        const Sides& of = sides[pair.sides];
        const float* const x = of.table + pair.row * of.dim;
        const float* const y = of.embeddings + pair.column * of.dim;
        float dot = 0.0F;
#pragma unroll 4
        for (int64_t k = lane * Chunk<float>::kSize; k < of.dim; k += kWarp * Chunk<float>::kSize) {
            const Chunk<float> a = load_chunk(x, k, of.dim, of.whole);
            const Chunk<float> b = load_chunk(y, k, of.dim, of.whole);
#pragma unroll
            for (int i = 0; i < Chunk<float>::kSize; ++i) dot += a.values[i] * b.values[i];
        }
        dot = sum_of_warp(dot);
        if (lane == 0) cosines[at] = cosine(dot, of.table_norms[pair.row], of.norms[pair.column]);
    }
}

// One block per row. The conditions are those of ema_update in associate.cpp.
__global__ void __launch_bounds__(kThreads)
    blend_kernel(float* table, float* table_norms, const int64_t* rows, const float* features,
                 const float* norms, const int64_t* columns, const float* delta, int64_t dim) {
    __shared__ float squares[kThreads / kWarp];
    const int64_t row = rows[blockIdx.x], column = columns[blockIdx.x];
    float* const old = table + row * dim;
    const float* const other = features + column * dim;
    const float norm = norms[column], old_norm = table_norms[row];
    const bool known = !(norm < kSmallestNorm);
    if (!known && old_norm > 0.0F) return;
    const float keep = old_norm > 0.0F ? delta[blockIdx.x] : 0.0F;
    const float add = known ? (1.0F - keep) / norm : 0.0F;
    const int thread = static_cast<int>(threadIdx.x);

    float square = 0.0F;
    for (int64_t k = thread; k < dim; k += kThreads) {
        const float x = keep * old[k] + add * other[k];
        old[k] = x;
        square += x * x;
    }
    square = sum_of_warp(square);
    if (thread % kWarp == 0) squares[thread / kWarp] = square;
    __syncthreads();
    float sum = 0.0F;
    for (const float x : squares) sum += x;
    const float length = sqrtf(sum);
    const bool unit = length > kSmallestMix;  // false: unknown, or two opposite features
    const float scale = unit ? 1.0F / length : 0.0F;
    for (int64_t k = thread; k < dim; k += kThreads) old[k] *= scale;
    if (thread == 0) table_norms[row] = unit ? 1.0F : 0.0F;
}

// One array, in both buffers.
template <class T>
struct Span {
    T* host = nullptr;
    T* device = nullptr;
};

// Allocates from the front of the buffers: first what goes to the device, then, after upload(),
// what comes back.
class Buffers {
  public:
    explicit Buffers(const CudaWork& work) : work_(work) {}

    template <class T>
    Span<T> take(int64_t count) {
        const int64_t begin = used_;
        used_ += (count * static_cast<int64_t>(sizeof(T)) + 15) / 16 * 16;
        if (used_ > work_.size) throw std::length_error("buffers of a comparison: too small");
        return {reinterpret_cast<T*>(work_.host + begin),
                reinterpret_cast<T*>(work_.device + begin)};
    }

    // Return a copy of an array on the device, valid after upload(); null for null.
    template <class T>
    const T* put(const T* values, int64_t count) {
        if (!values) return nullptr;
        const Span<T> span = take<T>(count);
        std::copy(values, values + count, span.host);
        return span.device;
    }

    void upload() {
        copy(work_.device, work_.host, used_, cudaMemcpyHostToDevice);
        uploaded_ = used_;
    }

    // Copy what was taken since upload() to the host, and wait for it and all earlier work.
    void download() const {
        if (used_ == uploaded_) return;
        copy(work_.host + uploaded_, work_.device + uploaded_, used_ - uploaded_,
             cudaMemcpyDeviceToHost);
        check_cuda(cudaStreamSynchronize(stream()), "comparison of features");
    }

    cudaStream_t stream() const { return static_cast<cudaStream_t>(work_.stream); }

  private:
    void copy(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) const {
        if (bytes > 0)
            check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream()),
                       "copy of a comparison");
    }

    const CudaWork& work_;
    int64_t used_ = 0, uploaded_ = 0;
};

// Find the candidates, unless they are given; throw if there are too many. Returns whether to
// compare them pair by pair; else all pairs are compared.
bool list_candidates(const Comparison& c) {
    if (c.cosines) return true;
    const int64_t t = c.tracks.count, n = c.detections.count;
    // Without a distance limit all pairs are candidates, which need no list.
    const bool limited =
        std::any_of(c.max_distance, c.max_distance + t, [](float r) { return std::isfinite(r); });
    if (!limited && t * n > 0) {
        expect_few_pairs(t * n);
        return false;
    }
    find_candidates(c.tracks, c.max_distance, c.detections, *c.pairs);
    return kSparse * static_cast<int64_t>(c.pairs->columns.size()) <= t * n;
}

// The candidates of some comparisons, to be copied to the device.
struct PairList {
    Span<Sides> sides;  // of each comparison
    Span<ListedPair> pairs;
    int64_t count;
};

PairList put_candidates(const std::vector<const Comparison*>& comparisons, Buffers& buffers) {
    PairList list{};
    for (const Comparison* c : comparisons)
        list.count += static_cast<int64_t>(c->pairs->columns.size());
    if (list.count == 0) return list;
    list.sides = buffers.take<Sides>(static_cast<int64_t>(comparisons.size()));
    list.pairs = buffers.take<ListedPair>(list.count);
    ListedPair* pair = list.pairs.host;
    for (size_t k = 0; k < comparisons.size(); ++k) {
        const FeatureSet& x = comparisons[k]->track_features;
        const FeatureSet& y = comparisons[k]->detection_features;
        const bool whole = whole_chunks<float>(x.data, x.dim) && whole_chunks<float>(y.data, x.dim);
        list.sides.host[k] = {x.data, x.norms, y.data, y.norms, x.dim, whole};
        const Candidates& found = *comparisons[k]->pairs;
        auto column = found.columns.begin();
        for (size_t i = 0; i + 1 < found.row_begin.size(); ++i)
            for (int32_t e = found.row_begin[i]; e < found.row_begin[i + 1]; ++e)
                *pair++ = {x.row(static_cast<int64_t>(i)), static_cast<int32_t>(y.row(*column++)),
                           static_cast<int32_t>(k)};
    }
    return list;
}

void launch_cosines(const PairList& list, float* cosines, cudaStream_t stream) {
    if (list.count == 0) return;
    const int64_t blocks = (list.count * kWarp + kThreads - 1) / kThreads;
    const auto grid = static_cast<unsigned>(std::min<int64_t>(blocks, 1 << 20));
    cosine_kernel<<<grid, kThreads, 0, stream>>>(list.sides.device, list.pairs.device, list.count,
                                                 cosines);
    check_cuda(cudaGetLastError(), "cosine kernel");
}

// Copy what the dense kernel needs of a comparison.
CostProblem put_all(const Comparison& c, Buffers& buffers) {
    const int64_t t = c.tracks.count, n = c.detections.count;
    CostProblem q{};
    q.batch = 1, q.tracks = t, q.detections = n, q.dim = c.track_features.dim;
    q.appearance = true, q.element = Element::f32;
    q.track_features = c.track_features.data;
    q.detection_features = c.detection_features.data;
    q.track_norms = c.track_features.norms;
    q.detection_norms = c.detection_features.norms;
    q.track_rows = buffers.put(c.track_features.rows, t);
    q.detection_rows = buffers.put(c.detection_features.rows, n);
    q.track_boxes = buffers.put(c.tracks.boxes, 4 * t);
    q.detection_boxes = buffers.put(c.detections.boxes, 4 * n);
    q.max_distance = buffers.put(c.max_distance, t);
    q.min_affinity = buffers.put(c.min_affinity, t);
    q.track_classes = buffers.put(c.tracks.classes, t);
    q.detection_classes = buffers.put(c.detections.classes, n);
    q.params = c.params;
    return q;
}

}  // namespace

int64_t cuda_comparison_bytes(int64_t tracks, int64_t detections) {
    // All arrays of put_all and the costs, each rounded up to 16 bytes. All pairs are compared only
    // if more than one in kSparse is a candidate: so there are at most kSparse * kMostPairs.
    constexpr int64_t arrays = 9;
    const int64_t track = 8 + 16 + 4 + 4 + 4, detection = 8 + 16 + 4;
    const int64_t all = tracks * detections;
    const int64_t dense = track * tracks + detection * detections +
                          4 * std::min(all, kSparse * kMostPairs) + 16 * arrays;
    // Sides, and ListedPair and a cosine of each pair where the pairs are given.
    const auto pair = static_cast<int64_t>(sizeof(ListedPair) + sizeof(float));
    const int64_t listed =
        static_cast<int64_t>(sizeof(Sides)) + pair * std::min(all, kMostPairs) + 16 * arrays;
    return std::max(dense, listed);
}

void associate_cuda(const std::vector<Comparison>& comparisons, const CudaWork& work) {
    const CurrentDevice current(work.device_id);
    std::vector<const Comparison*> listed, dense;
    for (const Comparison& c : comparisons) (list_candidates(c) ? listed : dense).push_back(&c);

    Buffers buffers(work);
    const PairList list = put_candidates(listed, buffers);
    std::vector<CostProblem> problems;
    for (const Comparison* c : dense) problems.push_back(put_all(*c, buffers));
    buffers.upload();
    const Span<float> cosines = buffers.take<float>(list.count);
    launch_cosines(list, cosines.device, buffers.stream());
    std::vector<const float*> costs;
    for (CostProblem& q : problems) {
        const Span<float> cost = buffers.take<float>(q.tracks * q.detections);
        q.cost = cost.device;
        costs.push_back(cost.host);
        cost_cuda(q, work.device_id, work.stream);
    }
    buffers.download();

    const float* next = cosines.host;
    for (const Comparison* c : listed) {
        const auto count = static_cast<std::ptrdiff_t>(c->pairs->columns.size());
        if (c->cosines)
            c->cosines->assign(next, next + count), next += count;
        else
            cost_pairs(*c, [&](int64_t, size_t) { return *next++; });
    }
    for (size_t k = 0; k < dense.size(); ++k) keep_pairs(*dense[k], costs[k]);
    for (const Comparison& c : comparisons)
        if (!c.cosines) match_pairs(c);
}

void blend_cuda(float* table, float* table_norms, const int64_t* rows, const float* features,
                const float* norms, const int64_t* columns, const float* delta, int64_t n,
                int64_t dim, int device_id, void* stream) {
    if (n == 0) return;
    const CurrentDevice current(device_id);
    const auto grid = static_cast<unsigned>(n);
    blend_kernel<<<grid, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
        table, table_norms, rows, features, norms, columns, delta, dim);
    check_cuda(cudaGetLastError(), "ema_update kernel");
}

}  // namespace sslmot
