#include "candidates.h"

#include <cmath>
#include <string>

#include "grid.h"

namespace sslmot {

namespace {

struct Centre : Box {
    Point point() const { return {cx, cy}; }
};

}  // namespace

void expect_few_pairs(int64_t pairs) {
    if (pairs > kMostPairs)
        throw std::length_error("dets: expected at most " + std::to_string(kMostPairs) +
                                " pairs of a track and a detection near each other, got more");
}

void find_candidates(const BoxSet& tracks, const float* max_distance, const BoxSet& detections,
                     Candidates& out) {
    out.clear(tracks.count);
    thread_local Grid<Centre> grid;  // keeps its memory for the next frame
    grid.build(detections.count,
               [&](int64_t j) { return Centre{make_box(detections.boxes + 4 * j)}; });
    // The pairs found, and one run of cells more.
    const auto most_room = static_cast<size_t>(kMostPairs + detections.count);
    size_t found = 0;
    for (int64_t i = 0; i < tracks.count; ++i) {
        const Box track = make_box(tracks.boxes + 4 * i);
        // |dx| / w <= 2 max_distance bounds the rectangle; the factor covers rounding.
        const float limit = max_distance[i];
        float half = 2.0F * limit * 1.0001F;
        // A box with a NaN matches every candidate search: its cost reports the NaN.
        if (!std::isfinite(track.cx) || !std::isfinite(track.cy)) half = NAN;
        const float dx = half * track.w, dy = half * track.h;
        const Point low{track.cx - dx, track.cy - dy}, high{track.cx + dx, track.cy + dy};
        grid.search(low, high, [&](size_t first, size_t last) {
            // Every pair is written, and kept by advancing `at`: a branch would be mispredicted
            // half of the time.
            const size_t most = found + (last - first);
            if (most > out.columns.size()) {
                const size_t room = std::min(2 * most, most_room);
                out.columns.reserve(room), out.values.reserve(room);
                out.columns.resize(room), out.values.resize(room);
            }
            int32_t* const column = out.columns.data();
            float* const value = out.values.data();
            size_t at = found;
            for (size_t k = first; k < last; ++k) {
                const float d = distance(track, grid.sorted[k]);
                const int32_t j = grid.order[k];
                column[at] = j;
                value[at] = d;
                const bool same = !tracks.classes || tracks.classes[i] == detections.classes[j];
                at += static_cast<size_t>(!(d > limit) & same);
            }
            found = at;
            expect_few_pairs(static_cast<int64_t>(found));
        });
        out.end_row(found);
    }
    out.columns.resize(found);
    out.values.resize(found);
}

}  // namespace sslmot
