#include "associate.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "assign.h"
#include "cost.h"
#include "dot.h"
#include "simd.h"

namespace sslmot {

namespace {

// Compute the costs of all pairs, and keep the pairs that can match.
void compare_all(const Comparison& c) {
    const int64_t t = c.tracks.count, n = c.detections.count, dim = c.track_features.dim;
    thread_local std::vector<const float*> a, b;  // keep their memory for the next frame
    thread_local std::vector<float> track_norms, norms, cost;
    const auto rows_of = [](const FeatureSet& set, int64_t count, auto& rows, auto& lengths) {
        rows.clear(), lengths.clear();
        for (int64_t i = 0; i < count; ++i) {
            rows.push_back(set.data + set.row(i) * set.dim);
            lengths.push_back(set.norms[set.row(i)]);
        }
    };
    rows_of(c.track_features, t, a, track_norms);
    rows_of(c.detection_features, n, b, norms);
    cost.resize(a.size() * b.size());
    dot_block(a.data(), t, b.data(), n, dim, cost.data(), n);
    CostProblem q{};
    q.batch = 1, q.tracks = t, q.detections = n, q.dim = dim, q.appearance = true;
    q.track_boxes = c.tracks.boxes, q.detection_boxes = c.detections.boxes;
    q.track_classes = c.tracks.classes, q.detection_classes = c.detections.classes;
    q.max_distance = c.max_distance, q.min_affinity = c.min_affinity;
    q.params = c.params, q.cost = cost.data();
    finish_costs(q, 0, track_norms.data(), norms.data());
    keep_pairs(c, cost.data());
}

// old <- keep * old + add * other. Returns the sum of squares of the result.
SSLMOT_SIMD_CLONES
float mix(float* old, float keep, const float* other, float add, int64_t dim) {
    float square = 0;
#pragma omp simd reduction(+ : square)
    for (int64_t k = 0; k < dim; ++k) {
        const float mixed = keep * old[k] + add * other[k];
        old[k] = mixed;
        square += mixed * mixed;
    }
    return square;
}

SSLMOT_SIMD_CLONES
void scale(float* row, float factor, int64_t dim) {
#pragma omp simd
    for (int64_t k = 0; k < dim; ++k) row[k] *= factor;
}

}  // namespace

void associate(const Comparison& c) {
    const FeatureSet &x = c.track_features, &y = c.detection_features;
    const int64_t t = c.tracks.count, n = c.detections.count, dim = x.dim;
    const std::vector<int32_t>& column = c.pairs->columns;
    // If many pairs are candidates, it is cheaper to compare all: a block of products reads each
    // feature once per block instead of once per pair.
    bool all = x.data && std::all_of(c.max_distance, c.max_distance + t,
                                     [](float r) { return r == INFINITY; });
    if (all) {
        expect_few_pairs(t * n);
    } else {
        find_candidates(c.tracks, c.max_distance, c.detections, c.params, *c.pairs);
        all = x.data && 4 * static_cast<int64_t>(column.size()) > t * n;
    }
    if (all) {
        compare_all(c);
    } else if (x.data) {
        cost_pairs(c, [&](int64_t i, size_t e) {
            const int64_t row = x.row(i), other = y.row(column[e]);
            return cosine(dot(x.data + row * dim, y.data + other * dim, dim), x.norms[row],
                          y.norms[other]);
        });
    } else {
        cost_pairs(c, [](int64_t, size_t) { return 1.0F; });
    }
    match_pairs(c);
}

void keep_pairs(const Comparison& c, const float* cost) {
    c.pairs->clear(c.tracks.count);
    for (int64_t i = 0; i < c.tracks.count; ++i) {
        for (int64_t j = 0; j < c.detections.count; ++j, ++cost) {
            if (!can_match(*cost, c.params)) continue;
            c.pairs->columns.push_back(static_cast<int32_t>(j));
            c.pairs->values.push_back(*cost);
        }
        c.pairs->end_row();
    }
}

void match_pairs(const Comparison& c) {
    assign_sparse(c.pairs->row_begin.data(), c.pairs->columns.data(), c.pairs->values.data(),
                  c.tracks.count, c.detections.count, static_cast<double>(c.params.max_cost),
                  c.match);
}

void ema_update(float* table, float* table_norms, const int64_t* rows, const float* features,
                const float* norms, const int64_t* columns, const float* delta, int64_t n,
                int64_t dim) {
    for (int64_t i = 0; i < n; ++i) {
        float* old = table + rows[i] * dim;
        float& old_norm = table_norms[rows[i]];
        const float norm = norms[columns[i]];
        const bool known = !(norm < kSmallestNorm);
        if (!known && old_norm > 0.0F) continue;
        const float keep = old_norm > 0.0F ? delta[i] : 0.0F;
        const float add = known ? (1.0F - keep) / norm : 0.0F;
        const float length = std::sqrt(mix(old, keep, features + columns[i] * dim, add, dim));
        const bool unit = length > kSmallestMix;  // false: unknown, or two opposite features
        scale(old, unit ? 1.0F / length : 0.0F, dim);
        old_norm = unit ? 1.0F : 0.0F;
    }
}

}  // namespace sslmot
