#include "impostors.h"

#include <algorithm>
#include <cmath>

#include "track_table.h"

namespace sslmot {

namespace {

// Tracks that are compared in a frame. The others have their turn in later frames.
constexpr size_t kTracks = 8;

// In 1 / kBins.
int64_t centre_of_bin(int bin) { return 2 * int64_t{bin} + 1 - Impostors::kBins; }

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
    // The oldest track counts the frames: windows of kTracks, one after the other, reach all.
    const auto turn = kTracks * static_cast<size_t>(tracks.hits[found.front()]) % found.size();
    std::rotate(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(turn), found.end());
    found.resize(kTracks);
    return found;
}

}  // namespace

void Impostors::add(const std::vector<float>& cosines) {
    for (const float cosine : cosines) {
        const auto found = static_cast<int>(0.5F * (cosine + 1.0F) * kBins);
        const int bin = std::clamp(found, 0, kBins - 1);
        const int64_t c = centre_of_bin(bin);
        ++counts_[static_cast<size_t>(bin)];
        ++total_, sum_ += c, squares_ += c * c;
    }
    if (total_ <= kMostImpostors) return;
    // Rounded up: the few pairs that are most alike decide, and must not vanish.
    for (int64_t& count : counts_) count = (count + 1) / 2;
    set_counts(counts_);
}

void Impostors::set_counts(const Counts& counts) {
    counts_ = counts;
    total_ = 0, sum_ = 0, squares_ = 0;
    for (int bin = 0; bin < kBins; ++bin) {
        const int64_t count = counts_[static_cast<size_t>(bin)];
        const int64_t c = centre_of_bin(bin);
        total_ += count, sum_ += count * c, squares_ += count * c * c;
    }
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
    step.impostors.clear();
    if (!step.has_embeddings() || table.feature_dim() == 0 || step.picture_changed) return;
    const std::vector<size_t> some = clear_tracks(table, step);
    if (some.size() < 2) return;
    std::vector<float> boxes;
    std::vector<int32_t> classes;
    std::vector<int64_t> slots, detections;
    for (const size_t i : some) {
        const auto j = static_cast<size_t>(step.match[i]);
        boxes.insert(boxes.end(), &step.boxes[4 * j], &step.boxes[4 * j] + 4);
        classes.push_back(table.tracks().classes[i]);
        slots.push_back(table.tracks().slots[i]), detections.push_back(step.match[i]);
    }
    classes = table.compared(classes);
    Candidates pairs;
    pairs.clear(static_cast<int64_t>(some.size()));
    for (size_t i = 0; i < some.size(); ++i) {
        for (size_t j = 0; j < some.size(); ++j)
            if (i != j && classes[i] == classes[j] && !overlap(&boxes[4 * i], &boxes[4 * j]))
                pairs.columns.push_back(static_cast<int32_t>(j));
        pairs.end_row();
    }
    Comparison c{};
    const auto count = static_cast<int64_t>(some.size());
    c.tracks = {boxes.data(), classes.data(), count};
    c.detections = {boxes.data(), classes.data(), count};
    c.track_features = table.features(step, slots.data());
    c.detection_features = {step.embeddings.values, step.embeddings.norms, detections.data(),
                            step.embeddings.dim};
    c.pairs = &pairs, c.cosines = &step.impostors;
    table.compare(c, step);
}

}  // namespace sslmot
