#include <algorithm>
#include <vector>

#include "cost.h"
#include "dot.h"
#include "simd.h"

namespace sslmot {

namespace {

// The detections of one problem, field by field: a loop over them reads whole vectors.
struct Columns {
    std::vector<float> cx, cy, log_w, log_h, norm;

    void resize(int64_t n) {
        for (auto* field : {&cx, &cy, &log_w, &log_h, &norm}) field->resize(static_cast<size_t>(n));
    }
    void set(size_t j, const Box& box) {
        cx[j] = box.cx, cy[j] = box.cy, log_w[j] = box.log_w, log_h[j] = box.log_h;
    }
};

// A function, as a box made inside a loop would keep it from becoming vectors.
inline float distance_to(const Box& track, float cx, float cy, float log_w, float log_h,
                         const PairParams& p) {
    return distance(track, {cx, cy, 0, 0, 0, 0, log_w, log_h}, p);
}

SSLMOT_SIMD_CLONES
void measure_row(const Box& track, const float* cx, const float* cy, const float* log_w,
                 const float* log_h, int64_t n, const PairParams& p, float* distances) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j)
        distances[j] = distance_to(track, cx[j], cy[j], log_w[j], log_h[j], p);
}

// From dot products to cosines, in place.
SSLMOT_SIMD_CLONES
void scale_row(float track_norm, const float* norms, int64_t n, float* cosines) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) cosines[j] = cosine(cosines[j], track_norm, norms[j]);
}

// From cosines to costs, in place.
SSLMOT_SIMD_CLONES
void finish_row(const float* distances, const TrackGate& gate, int64_t n, const PairParams& p,
                float* cost) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) cost[j] = pair_cost(cost[j], distances[j], gate, p);
}

}  // namespace

void cost_cpu(const CostProblem& q) {
    const int64_t t = q.tracks, n = q.detections, d = q.dim;
    // Kept for the thread's next call.
    thread_local std::vector<const float*> track_rows, detection_rows;
    thread_local std::vector<float> track_norms, distances;
    thread_local Columns columns;
    track_norms.resize(static_cast<size_t>(t));
    columns.resize(n);
    distances.resize(static_cast<size_t>(n));
    const auto measure = [d](const void* features, int64_t offset, int64_t count, auto& rows,
                             auto& norms) {
        const float* first = static_cast<const float*>(features) + offset * d;
        rows.resize(static_cast<size_t>(count));
        for (int64_t i = 0; i < count; ++i) rows[static_cast<size_t>(i)] = first + i * d;
        row_norms(first, count, d, norms.data());
    };
    for (int64_t b = 0; b < q.batch; ++b) {
        float* cost = q.cost + b * t * n;
        for (int64_t j = 0; j < n; ++j)
            columns.set(static_cast<size_t>(j), make_box(q.detection_boxes + 4 * (b * n + j)));
        if (q.appearance) {
            measure(q.track_features, b * t, t, track_rows, track_norms);
            measure(q.detection_features, b * n, n, detection_rows, columns.norm);
            dot_block(track_rows.data(), t, detection_rows.data(), n, d, cost, n);
        } else {
            std::fill_n(cost, t * n, 1.0F);  // cosines: appearance has no say
        }
        for (int64_t i = 0; i < t; ++i) {
            float* row = cost + i * n;
            measure_row(make_box(q.track_boxes + 4 * (b * t + i)), columns.cx.data(),
                        columns.cy.data(), columns.log_w.data(), columns.log_h.data(), n, q.params,
                        distances.data());
            if (q.appearance)
                scale_row(track_norms[static_cast<size_t>(i)], columns.norm.data(), n, row);
            finish_row(distances.data(), track_gate(q.reach, q.min_affinity, b * t + i, q.params),
                       n, q.params, row);
            if (!q.track_classes) continue;
            const int32_t own = q.track_classes[b * t + i];
            for (int64_t j = 0; j < n; ++j)
                if (own != q.detection_classes[b * n + j]) row[j] = q.params.gate;
        }
    }
}

}  // namespace sslmot
