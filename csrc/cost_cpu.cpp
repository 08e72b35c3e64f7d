#include <algorithm>
#include <vector>

#include "cost.h"
#include "dot.h"
#include "simd.h"

namespace sslmot {

namespace {

// The detections of one problem, one array per field: a loop over them reads whole vectors.
struct Columns {
    std::vector<float> cx, cy;

    void resize(int64_t n) {
        for (auto* field : {&cx, &cy}) field->resize(static_cast<size_t>(n));
    }
    void set(size_t j, const Box& box) { cx[j] = box.cx, cy[j] = box.cy; }
};

// A function of its own: a Box made inside the loop would prevent vectorisation.
inline float distance_to(const Box& track, float cx, float cy) {
    return distance(track, {cx, cy, 0, 0, 0, 0});
}

SSLMOT_SIMD_CLONES
void measure_row(const Box& track, const float* cx, const float* cy, int64_t n, float* distances) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) distances[j] = distance_to(track, cx[j], cy[j]);
}

// Turn dot products into cosines, in place.
SSLMOT_SIMD_CLONES
void scale_row(float track_norm, const float* norms, int64_t n, float* cosines) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) cosines[j] = cosine(cosines[j], track_norm, norms[j]);
}

// Turn cosines into costs, in place.
SSLMOT_SIMD_CLONES
void finish_row(const float* distances, const TrackLimits& limits, int64_t n, const PairParams& p,
                float* cost) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) cost[j] = pair_cost(cost[j], distances[j], limits, p);
}

}  // namespace

void finish_costs(const CostProblem& q, int64_t b, const float* track_norms, const float* norms) {
    const int64_t t = q.tracks, n = q.detections;
    // Kept for the next call of the thread.
    thread_local std::vector<float> distances;
    thread_local Columns columns;
    columns.resize(n);
    distances.resize(static_cast<size_t>(n));
    for (int64_t j = 0; j < n; ++j)
        columns.set(static_cast<size_t>(j), make_box(q.detection_boxes + 4 * (b * n + j)));
    for (int64_t i = b * t; i < (b + 1) * t; ++i) {
        float* row = q.cost + i * n;
        measure_row(make_box(q.track_boxes + 4 * i), columns.cx.data(), columns.cy.data(), n,
                    distances.data());
        if (q.appearance)
            scale_row(track_norms[i - b * t], norms, n, row);
        else
            std::fill_n(row, n, 1.0F);  // the cosine where motion alone decides
        finish_row(distances.data(), track_limits(q.max_distance, q.min_affinity, i, q.params), n,
                   q.params, row);
        if (!q.track_classes) continue;
        for (int64_t j = 0; j < n; ++j)
            if (q.track_classes[i] != q.detection_classes[b * n + j]) row[j] = q.params.max_cost;
    }
}

void cost_cpu(const CostProblem& q) {
    const int64_t t = q.tracks, n = q.detections, d = q.dim;
    thread_local std::vector<const float*> track_rows, detection_rows;
    thread_local std::vector<float> track_norms, norms;
    const auto measure = [d](const void* features, int64_t offset, int64_t count, auto& rows,
                             auto& lengths) {
        const float* first = static_cast<const float*>(features) + offset * d;
        rows.resize(static_cast<size_t>(count));
        lengths.resize(static_cast<size_t>(count));
        for (int64_t i = 0; i < count; ++i) rows[static_cast<size_t>(i)] = first + i * d;
        row_norms(first, count, d, lengths.data());
    };
    for (int64_t b = 0; b < q.batch; ++b) {
        if (q.appearance) {
            measure(q.track_features, b * t, t, track_rows, track_norms);
            measure(q.detection_features, b * n, n, detection_rows, norms);
            dot_block(track_rows.data(), t, detection_rows.data(), n, d, q.cost + b * t * n, n);
        }
        finish_costs(q, b, track_norms.data(), norms.data());
    }
}

}  // namespace sslmot
