#include "impostors.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "track_table.h"

namespace sslmot {

namespace {

// Tracks that are compared in a frame. The others have their turn in later frames.
constexpr size_t kTracks = 8;

bool overlap(const float* a, const float* b) {
    return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}

std::vector<size_t> clear_tracks(const TrackTable& table, const Step& step) {
    const TrackColumns& tracks = table.tracks();
    std::vector<size_t> found;
    for (size_t i = 0; i < tracks.size(); ++i)
        if (tracks.ids[i] > 0 && step.match[i] >= 0 &&
            step.visible[static_cast<size_t>(step.match[i])] &&
            table.has_feature(step, tracks.slots[i]))
            found.push_back(i);
    if (found.size() <= kTracks) return found;
    const auto turn = static_cast<uint64_t>(table.impostors().total()) % found.size();
    std::rotate(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(turn), found.end());
    found.resize(kTracks);
    return found;
}

}  // namespace

void Impostors::add(const std::vector<float>& cosines) {
    for (const float cosine : cosines) {
        const auto bin = static_cast<int>(0.5F * (cosine + 1.0F) * kBins);
        ++counts_[static_cast<size_t>(std::clamp(bin, 0, kBins - 1))];
    }
    total_ += static_cast<int64_t>(cosines.size());
    if (total_ <= kMostPairs) return;
    for (int64_t& count : counts_) count /= 2;
    set_counts(counts_);
}

void Impostors::set_counts(const Counts& counts) {
    counts_ = counts;
    total_ = std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

float Impostors::threshold(double probability) const {
    // One pair more than was seen is assumed beyond each threshold: so is what was not seen yet.
    const double most = probability * static_cast<double>(total_ + 1) - 1.0;
    if (!(most > 0.0)) return 2.0F;
    double beyond = 0.0;
    int bin = kBins;
    while (bin > 0 && (beyond += static_cast<double>(counts_[static_cast<size_t>(bin - 1)])) < most)
        --bin;
    return 2.0F * static_cast<float>(bin) / kBins - 1.0F;
}

void sample_impostors(const TrackTable& table, Step& step) {
    if (!step.has_embeddings() || table.feature_dim() == 0) return;
    const std::vector<size_t> some = clear_tracks(table, step);
    if (some.size() < 2) return;
    std::vector<float> boxes;
    std::vector<int64_t> slots, detections;
    for (const size_t i : some) {
        const auto j = static_cast<size_t>(step.match[i]);
        boxes.insert(boxes.end(), &step.boxes[4 * j], &step.boxes[4 * j] + 4);
        slots.push_back(table.tracks().slots[i]), detections.push_back(step.match[i]);
    }
    // Costs of appearance alone, and no pair is too far or too unlike: 1 - exp(cosine - 1).
    const std::vector<float> any_distance(some.size(), INFINITY), any_affinity(some.size(), 0.0F);
    std::vector<int32_t> match(some.size(), -1);
    Candidates pairs;
    Comparison c{};
    const auto count = static_cast<int64_t>(some.size());
    c.tracks = {boxes.data(), nullptr, count};
    c.detections = {boxes.data(), nullptr, count};
    c.track_features = table.features(step, slots.data());
    c.detection_features = {step.embeddings.values, step.embeddings.norms, detections.data(),
                            step.embeddings.dim};
    c.max_distance = any_distance.data(), c.min_affinity = any_affinity.data();
    c.params = {1.0F, 0.0F, 1.0F, 0.0F, 0.0F, 2.0F};
    c.pairs = &pairs, c.match = match.data();
    table.compare(c, step);
    for (size_t i = 0; i < some.size(); ++i)
        for (auto e = static_cast<size_t>(pairs.row_begin[i]);
             e < static_cast<size_t>(pairs.row_begin[i + 1]); ++e) {
            const auto j = static_cast<size_t>(pairs.columns[e]);
            if (!overlap(&boxes[4 * i], &boxes[4 * j]))
                step.impostors.push_back(1.0F + std::log(1.0F - pairs.values[e]));
        }
}

}  // namespace sslmot
