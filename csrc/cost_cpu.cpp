#include <cmath>
#include <vector>

#include "cost.h"
#include "dot.h"

namespace sslmot {

void cost_cpu(const CostProblem& q) {
    const int64_t t = q.tracks, n = q.detections, d = q.dim;
    std::vector<const float*> track_rows, detection_rows;
    std::vector<float> track_norms, detection_norms;
    std::vector<Box> detection_boxes(static_cast<size_t>(n));
    const auto pointers = [d](const void* features, int64_t offset, int64_t count, auto& rows,
                              auto& norms) {
        const float* first = static_cast<const float*>(features) + offset * d;
        rows.resize(static_cast<size_t>(count));
        norms.resize(static_cast<size_t>(count));
        for (int64_t i = 0; i < count; ++i) rows[static_cast<size_t>(i)] = first + i * d;
        row_norms(first, count, d, norms.data());
    };
    for (int64_t b = 0; b < q.batch; ++b) {
        float* cost = q.cost + b * t * n;
        for (int64_t j = 0; j < n; ++j)
            detection_boxes[static_cast<size_t>(j)] = make_box(q.detection_boxes + 4 * (b * n + j));
        if (q.appearance) {
            pointers(q.track_features, b * t, t, track_rows, track_norms);
            pointers(q.detection_features, b * n, n, detection_rows, detection_norms);
            dot_block(track_rows.data(), t, detection_rows.data(), n, d, cost, n);
        }
        for (int64_t i = 0; i < t; ++i) {
            const Box track = make_box(q.track_boxes + 4 * (b * t + i));
            const TrackGate gate = track_gate(q.reach, q.min_affinity, b * t + i, q.params);
            for (int64_t j = 0; j < n; ++j) {
                float& c = cost[i * n + j];
                if (q.track_classes &&
                    q.track_classes[b * t + i] != q.detection_classes[b * n + j]) {
                    c = q.params.gate;
                    continue;
                }
                const auto col = static_cast<size_t>(j);
                const float cos = q.appearance ? cosine(c, track_norms[static_cast<size_t>(i)],
                                                        detection_norms[col])
                                               : 1.0F;
                c = pair_cost(cos, distance(track, detection_boxes[col], q.params), gate, q.params);
            }
        }
    }
}

}  // namespace sslmot
