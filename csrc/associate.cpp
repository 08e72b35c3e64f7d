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

// The dot products of all pairs: (tracks, detections), row by row.
struct Products {
    std::vector<float> track_norms, norms, values;

    void compute(const Comparison& c) {
        const int64_t t = c.tracks.count, n = c.detections.count, dim = c.track_features.dim;
        rows_of(c.track_features, t, a_, track_norms);
        rows_of(c.detection_features, n, b_, norms);
        values.resize(a_.size() * b_.size());
        dot_block(a_.data(), t, b_.data(), n, dim, values.data(), n);
    }

  private:
    static void rows_of(const FeatureSet& set, int64_t count, std::vector<const float*>& rows,
                        std::vector<float>& lengths) {
        rows.clear(), lengths.clear();
        for (int64_t i = 0; i < count; ++i) {
            rows.push_back(set.data + set.row(i) * set.dim);
            lengths.push_back(set.norms[set.row(i)]);
        }
    }

    std::vector<const float*> a_, b_;
};

Products& all_products(const Comparison& c) {
    thread_local Products products;  // keeps its memory for the next frame
    products.compute(c);
    return products;
}

// Whether it is cheaper to multiply all pairs: a block of products reads each feature once per
// block instead of once per pair.
bool many(const Comparison& c) {
    return 4 * static_cast<int64_t>(c.pairs->columns.size()) > c.tracks.count * c.detections.count;
}

// Compute the costs of all pairs, and keep the pairs that can match.
void compare_all(const Comparison& c) {
    Products& products = all_products(c);
    CostProblem q{};
    q.batch = 1, q.tracks = c.tracks.count, q.detections = c.detections.count;
    q.dim = c.track_features.dim, q.appearance = true;
    q.track_boxes = c.tracks.boxes, q.detection_boxes = c.detections.boxes;
    q.track_classes = c.tracks.classes, q.detection_classes = c.detections.classes;
    q.max_distance = c.max_distance, q.min_affinity = c.min_affinity;
    q.params = c.params, q.cost = products.values.data();
    finish_costs(q, 0, products.track_norms.data(), products.norms.data());
    keep_pairs(c, products.values.data());
}

float cosine_of(const Comparison& c, int64_t i, int32_t j) {
    const FeatureSet &x = c.track_features, &y = c.detection_features;
    const int64_t row = x.row(i), other = y.row(j);
    return cosine(dot(x.data + row * x.dim, y.data + other * x.dim, x.dim), x.norms[row],
                  y.norms[other]);
}

void find_cosines(const Comparison& c) {
    c.cosines->clear();
    const Products* const products = many(c) ? &all_products(c) : nullptr;
    size_t e = 0;
    for (int64_t i = 0; i < c.tracks.count; ++i)
        for (; e < static_cast<size_t>(c.pairs->row_begin[static_cast<size_t>(i) + 1]); ++e) {
            const int32_t j = c.pairs->columns[e];
            const auto at = static_cast<size_t>(i * c.detections.count + j);
            c.cosines->push_back(products ? cosine(products->values[at],
                                                   products->track_norms[static_cast<size_t>(i)],
                                                   products->norms[static_cast<size_t>(j)])
                                          : cosine_of(c, i, j));
        }
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
    if (c.cosines) return find_cosines(c);
    const int64_t t = c.tracks.count, n = c.detections.count;
    const bool by_appearance = c.track_features.data != nullptr;
    bool all = by_appearance && std::all_of(c.max_distance, c.max_distance + t,
                                            [](float r) { return r == INFINITY; });
    if (all) {
        expect_few_pairs(t * n);
    } else {
        find_candidates(c.tracks, c.max_distance, c.detections, *c.pairs);
        all = by_appearance && many(c);
    }
    if (all)
        compare_all(c);
    else if (by_appearance)
        cost_pairs(c, [&](int64_t i, size_t e) { return cosine_of(c, i, c.pairs->columns[e]); });
    else
        cost_pairs(c, [](int64_t, size_t) { return 1.0F; });
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
