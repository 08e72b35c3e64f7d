#include "identities.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "impostors.h"

namespace sslmot {

namespace {

// Where re-identification looks at once, in sizes of the lost track's box.
constexpr double kReidDistance = 2.5;

// A confirmed track without a detection in this frame.
struct LostTrack {
    const TrackColumns* columns;
    size_t row;

    int64_t id() const { return columns->ids[row]; }
};

// Confirmations begin..end of a step.
struct Range {
    size_t begin, end;

    size_t size() const { return end - begin; }
};

// Lost tracks and a range of confirmations, matched by appearance.
struct Matching {
    std::vector<int32_t> match;  // of each lost track: a position in the range, or -1
    Candidates pairs;
};

void find_confirmations(const TrackTable& table, Step& step) {
    const TrackSettings& s = table.settings();
    const TrackColumns& tracks = table.tracks();
    const auto confirm = [&](int64_t track, int64_t detection) {
        step.confirmations.push_back({track, detection, 0, IdSource::started, NAN});
    };
    for (size_t i = 0; i < tracks.size(); ++i)
        if (tracks.ids[i] == 0 && step.match[i] >= 0 && tracks.hits[i] + 1 >= s.min_hits &&
            table.probation_after(step, i) <= 0.0)
            confirm(static_cast<int64_t>(i), step.match[i]);
    step.tentative = step.confirmations.size();
    for (const int64_t j : step.new_tracks)
        if (s.min_hits == 0 || step.scores[static_cast<size_t>(j)] >= s.instant_confirm_score)
            confirm(-1, j);
}

// The lost tracks, then the tracks that this frame leaves without a detection: the order of age.
std::vector<LostTrack> lost_tracks(const TrackTable& table, const Step& step) {
    const TrackColumns &lost = table.lost(), &tracks = table.tracks();
    const double max_age = table.settings().reid_max_age;
    std::vector<LostTrack> found;
    if (table.feature_dim() == 0) return found;
    for (size_t i = 0; i < lost.size(); ++i)
        if (within(lost.time_since_update[i] + step.elapsed, max_age)) found.push_back({&lost, i});
    for (size_t i = 0; i < tracks.size(); ++i)
        if (step.match[i] < 0 && tracks.ids[i] > 0 && within(step.gaps[i], max_age))
            found.push_back({&tracks, i});
    return found;
}

// Compute the features of the confirmations as commit will: old feature and detection, averaged.
void preview_features(const TrackTable& table, Step& step) {
    const Embeddings& e = step.embeddings;
    std::vector<int64_t> from;  // slot of each, -1 for a new track
    FeatureUpdates updates;
    for (const Confirmation& confirmation : step.confirmations) {
        const bool started = confirmation.track < 0;
        const auto i = static_cast<size_t>(confirmation.track);
        const bool updated = started ? step.has_embeddings()
                                     : table.updates_feature(step, i, confirmation.detection);
        from.push_back(started || table.feature_dim() == 0 ? -1 : table.tracks().slots[i]);
        updates.shares.push_back(started ? 0.0F : table.old_feature_weight(i));
        updates.columns.push_back(updated ? confirmation.detection : -1);
    }
    if (step.device) {
        wait_cuda(step.device->work);
        preview_cuda(*step.device, from, updates, {e.values, e.norms, nullptr, e.dim});
        return;
    }
    const FeatureSet old = table.features(step, nullptr);
    const int64_t dim = step.has_embeddings() ? e.dim : table.feature_dim();
    const auto width = static_cast<size_t>(dim);
    step.features.assign(from.size() * width, 0.0F);
    step.feature_norms.assign(from.size(), 0.0F);
    for (size_t k = 0; k < from.size(); ++k) {
        if (from[k] >= 0 && table.has_feature(step, from[k])) {
            std::copy_n(old.data + from[k] * dim, width, &step.features[k * width]);
            step.feature_norms[k] = old.norms[from[k]];
        }
        if (updates.columns[k] < 0) continue;
        const auto row = static_cast<int64_t>(k);
        ema_update(step.features.data(), step.feature_norms.data(), &row, e.values, e.norms,
                   &updates.columns[k], &updates.shares[k], 1, dim);
    }
}

// The affinity that a pair must reach to be re-identified: a-contrario. Among `pairs` pairs of
// different objects, chance gives less than reid_false_alarms pairs that reach it.
float reid_min_affinity(const TrackTable& table, size_t pairs) {
    const TrackSettings& s = table.settings();
    if (std::isinf(s.reid_false_alarms)) return s.by_appearance.min_affinity;
    const float cosine =
        table.impostors().threshold(s.reid_false_alarms / static_cast<double>(pairs));
    if (cosine > 1.0F) return INFINITY;
    return affinity(cosine, s.by_appearance);
}

Matching match_lost(const TrackTable& table, const Step& step, const std::vector<LostTrack>& lost,
                    Range range) {
    const TrackSettings& s = table.settings();
    std::vector<float> boxes, max_distance, their_boxes;
    std::vector<int32_t> classes, their_classes;
    std::vector<int64_t> slots, rows;
    for (const LostTrack& track : lost) {
        const TrackColumns& from = *track.columns;
        const size_t i = track.row;
        boxes.insert(boxes.end(), &from.boxes[4 * i], &from.boxes[4 * i] + 4);
        if (step.camera) move_box(*step.camera, &boxes[boxes.size() - 4]);
        classes.push_back(from.classes[i]), slots.push_back(from.slots[i]);
        const double gap = from.time_since_update[i] + step.elapsed;
        max_distance.push_back(static_cast<float>(kReidDistance + s.reid_max_speed * gap));
    }
    for (size_t k = range.begin; k < range.end; ++k) {
        const Confirmation& confirmation = step.confirmations[k];
        const auto j = static_cast<size_t>(confirmation.detection);
        their_boxes.insert(their_boxes.end(), &step.boxes[4 * j], &step.boxes[4 * j] + 4);
        their_classes.push_back(
            confirmation.track < 0
                ? step.classes[j]
                : table.tracks().classes[static_cast<size_t>(confirmation.track)]);
        rows.push_back(static_cast<int64_t>(k));
    }
    const std::vector<float> min_affinity(lost.size(),
                                          reid_min_affinity(table, lost.size() * range.size()));
    Matching found;
    found.match.assign(lost.size(), -1);
    classes = table.compared(classes), their_classes = table.compared(their_classes);
    Comparison c{};
    c.tracks = {boxes.data(), classes.data(), static_cast<int64_t>(lost.size())};
    c.detections = {their_boxes.data(), their_classes.data(), static_cast<int64_t>(range.size())};
    c.track_features = table.features(step, slots.data());
    c.detection_features = {step.device ? step.device->scratch : step.features.data(),
                            step.device ? step.device->scratch_norms : step.feature_norms.data(),
                            rows.data(), c.track_features.dim};
    c.max_distance = max_distance.data(), c.min_affinity = min_affinity.data();
    c.params = s.by_appearance;
    c.pairs = &found.pairs, c.match = found.match.data();
    table.compare(c, step);
    return found;
}

// As match_lost. Where there are too many pairs, the half of `lost` that was lost first is left
// out, again and again.
Matching match_recently_lost(const TrackTable& table, const Step& step,
                             std::vector<LostTrack>& lost, Range range) {
    for (;;) {
        try {
            return match_lost(table, step, lost, range);
        } catch (const std::length_error&) {
            lost.erase(lost.begin(),
                       lost.begin() + static_cast<std::ptrdiff_t>((lost.size() + 1) / 2));
        }
    }
}

// Give confirmations the ids of the lost tracks that match them, and take these out of `lost`.
void take_lost_ids(const TrackTable& table, Step& step, std::vector<LostTrack>& lost, Range range) {
    if (range.size() == 0 || lost.empty()) return;
    const auto [match, pairs] = match_recently_lost(table, step, lost, range);
    std::vector<LostTrack> left;
    for (size_t i = 0; i < lost.size(); ++i) {
        if (match[i] < 0) {
            left.push_back(lost[i]);
            continue;
        }
        Confirmation& found = step.confirmations[range.begin + static_cast<size_t>(match[i])];
        found.id = lost[i].id(), found.source = IdSource::reidentified;
        for (auto e = static_cast<size_t>(pairs.row_begin[i]);
             e < static_cast<size_t>(pairs.row_begin[i + 1]); ++e)
            if (pairs.columns[e] == match[i]) found.affinity = 1.0F - pairs.values[e];
        step.ended.insert(found.id);
    }
    lost.swap(left);
}

// Leave new tracks that resemble a lost track tentative: later detections decide.
void postpone(const TrackTable& table, Step& step, std::vector<LostTrack>& lost, Range range) {
    if (range.size() == 0 || lost.empty()) return;
    const Candidates pairs = match_recently_lost(table, step, lost, range).pairs;
    for (size_t i = 0; i < lost.size(); ++i)
        for (auto e = static_cast<size_t>(pairs.row_begin[i]);
             e < static_cast<size_t>(pairs.row_begin[i + 1]); ++e)
            step.reid_pending.emplace_back(range.begin + static_cast<size_t>(pairs.columns[e]),
                                           lost[i].id());
}

}  // namespace

void reidentify(const TrackTable& table, Step& step, bool gallery) {
    table.expect_current(step, true);
    if (!step.confirmations.empty()) throw std::logic_error("step: expected it once, got it twice");
    const TrackSettings& s = table.settings();
    if (s.kalman || std::isfinite(s.reid_false_alarms)) sample_impostors(table, step);
    find_confirmations(table, step);
    if (step.confirmations.empty() || !table.has_features(step)) return;
    std::vector<LostTrack> lost = lost_tracks(table, step);
    if (lost.empty() && !gallery) return;
    preview_features(table, step);
    const Range tentative{0, step.tentative}, started{step.tentative, step.confirmations.size()};
    take_lost_ids(table, step, lost, tentative);
    if (s.min_hits == 0)
        take_lost_ids(table, step, lost, started);
    else
        postpone(table, step, lost, started);
}

std::vector<size_t> without_id(const TrackTable& table, const Step& step, bool new_tracks) {
    table.expect_current(step, true);
    const size_t begin = new_tracks ? step.tentative : 0;
    const size_t end = new_tracks ? step.confirmations.size() : step.tentative;
    std::vector<uint8_t> waits(step.confirmations.size(), 0);
    for (const auto& [confirmation, id] : step.reid_pending)
        waits[confirmation] |= static_cast<uint8_t>(step.ended.count(id) == 0);
    std::vector<size_t> rows;
    for (size_t k = begin; k < end; ++k)
        if (!step.confirmations[k].id && !waits[k]) rows.push_back(k);
    return rows;
}

void assign_ids(const TrackTable& table, Step& step, bool new_tracks, const int64_t* from_gallery,
                int64_t first_id) {
    const std::vector<size_t> rows = without_id(table, step, new_tracks);
    const size_t known_count = from_gallery
                                   ? rows.size() - static_cast<size_t>(std::count(
                                                       from_gallery, from_gallery + rows.size(), 0))
                                   : 0;
    const int64_t next_id = std::max({step.next_id, table.next_id(), first_id});
    const auto needed = static_cast<int64_t>(rows.size() - known_count);
    if (next_id > kLargestId + 1 - needed)
        throw std::invalid_argument("ids: expected at most " + std::to_string(kLargestId) +
                                    ", got " + std::to_string(needed) + " new ones from " +
                                    std::to_string(next_id) + " on");
    step.next_id = next_id;
    for (const size_t k : rows) {
        Confirmation& confirmation = step.confirmations[k];
        const int64_t known = from_gallery ? *from_gallery++ : 0;
        if (known) {
            confirmation.id = known, confirmation.source = IdSource::gallery;
            step.ended.insert(known);  // a track of this table may have had the id
        } else {
            confirmation.id = step.next_id++;
        }
    }
}

}  // namespace sslmot
