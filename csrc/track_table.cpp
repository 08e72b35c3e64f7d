#include "track_table.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "occlusion.h"

namespace sslmot {

namespace {

// Past this many updates the weight of the old feature no longer depends on their number: `ema`
// is smaller.
constexpr int64_t kMostUpdates = 9999;

// About this many matches a frame tell the scale of innovations.
constexpr size_t kScaleSample = 16;

uint64_t new_version() {
    static std::atomic<uint64_t> last{0};
    return ++last;
}

bool clearly_seen(const Step& step, size_t detection) {
    return step.has_embeddings() && step.visible[detection] && !step.low_score[detection];
}

}  // namespace

void TrackColumns::clear() {
    ids.clear(), hits.clear(), time_since_update.clear(), probation.clear();
    feature_updates.clear(), slots.clear();
    classes.clear(), boxes.clear(), state.clear();
}

void TrackColumns::reserve(size_t tracks, size_t numbers) {
    ids.reserve(tracks), hits.reserve(tracks), time_since_update.reserve(tracks);
    probation.reserve(tracks), feature_updates.reserve(tracks), slots.reserve(tracks);
    classes.reserve(tracks), boxes.reserve(4 * tracks), state.reserve(numbers * tracks);
}

void TrackColumns::append(const TrackColumns& from, size_t i, size_t numbers) {
    ids.push_back(from.ids[i]), hits.push_back(from.hits[i]);
    time_since_update.push_back(from.time_since_update[i]);
    probation.push_back(from.probation[i]);
    feature_updates.push_back(from.feature_updates[i]), slots.push_back(from.slots[i]);
    classes.push_back(from.classes[i]);
    boxes.insert(boxes.end(), &from.boxes[4 * i], &from.boxes[4 * i] + 4);
    state.insert(state.end(), &from.state[numbers * i], &from.state[numbers * i] + numbers);
}

TrackTable::TrackTable(const TrackSettings& settings)
    : settings_(settings), version_(new_version()) {}

void TrackTable::expect_current(const Step& step, bool associated) const {
    if (step.version != version_)
        throw std::logic_error("step: expected one of this frame, got one of another");
    if (step.associated != associated)
        throw std::logic_error(associated ? "step: expected one that is associated, got one before"
                                          : "step: expected one to associate, got one after");
}

std::vector<double> TrackTable::gaps_after(double elapsed) const {
    std::vector<double> gaps = tracks_.time_since_update;
    for (double& gap : gaps) gap += elapsed;
    return gaps;
}

std::vector<float> TrackTable::boxes_of(const std::vector<float>& state,
                                        const std::vector<double>& gaps) const {
    std::vector<float> boxes(4 * gaps.size());
    if (settings_.kalman)
        sslmot::predict(state.data(), static_cast<int64_t>(gaps.size()), gaps.data(), boxes.data());
    else
        for (size_t i = 0; i < gaps.size(); ++i) to_corners(&state[4 * i], &boxes[4 * i]);
    return boxes;
}

std::vector<float> TrackTable::predict(double elapsed) const {
    return boxes_of(tracks_.state, gaps_after(elapsed));
}

void TrackTable::prepare(Step& step) const {
    const size_t n = step.scores.size(), count = tracks_.size(), numbers = state_numbers();
    step.version = version_;
    step.state = tracks_.state;
    step.gaps = gaps_after(step.elapsed);
    if (step.camera)
        for (size_t i = 0; i < count; ++i)
            move_state(*step.camera, &step.state[numbers * i], numbers);
    step.predicted = boxes_of(step.state, step.gaps);

    step.low_score.resize(n), step.visible.assign(n, 0);
    for (size_t j = 0; j < n; ++j) step.low_score[j] = step.scores[j] < settings_.high_score;
    if (!step.has_embeddings()) return;
    for (size_t j = 0; j < n; ++j) step.visible[j] = step.embeddings.norms_here[j] >= kSmallestNorm;
    if (settings_.max_occlusion < 1.0F) {
        std::vector<float> occluded(n);
        find_occlusion(step.boxes.data(), static_cast<int64_t>(n), occluded.data());
        for (size_t j = 0; j < n; ++j) step.visible[j] &= occluded[j] <= settings_.max_occlusion;
    }
}

std::vector<int32_t> TrackTable::compared(std::vector<int32_t> classes) const {
    if (settings_.class_agnostic) std::fill(classes.begin(), classes.end(), 0);
    return classes;
}

bool TrackTable::has_feature(const Step& step, int64_t slot) const {
    if (dim_ == 0) return false;
    return (step.device ? step.device->norms_here[slot] : norms_[static_cast<size_t>(slot)]) > 0.0F;
}

FeatureSet TrackTable::features(const Step& step, const int64_t* slots) const {
    if (step.device) return {step.device->values, step.device->norms, slots, step.device->dim};
    return {features_.data(), norms_.data(), slots, dim_};
}

void TrackTable::read_feature(int64_t slot, float* out) const {
    const auto dim = static_cast<size_t>(dim_), at = static_cast<size_t>(slot);
    std::fill_n(out, dim, 0.0F);
    if (dim_ > 0 && norms_[at] > 0.0F) std::copy_n(&features_[at * dim], dim, out);
}

size_t TrackTable::slots_with(size_t more) const {
    // Growth doubles the table, so that features are seldom moved.
    const size_t size = norms_.size(), free = free_slots_.size();
    return free >= more ? size : std::max({size_t{64}, 2 * size, size + more - free});
}

void TrackTable::reserve_slots(size_t more, int64_t dim) {
    const size_t size = norms_.size(), grown = slots_with(more);
    free_slots_.reserve(grown);  // room for every slot: freeing one cannot fail
    features_.resize(grown * static_cast<size_t>(dim), 0.0F);
    norms_.resize(grown, 0.0F);
    for (size_t slot = grown; slot-- > size;) free_slots_.push_back(static_cast<int64_t>(slot));
}

bool TrackTable::updates_feature(const Step& step, size_t track, int64_t detection) const {
    // Until a track was clearly seen once, the feature of an occluded box is better than none.
    return step.has_embeddings() && (clearly_seen(step, static_cast<size_t>(detection)) ||
                                     tracks_.feature_updates[track] == 0);
}

float TrackTable::old_feature_weight(size_t track) const {
    // The first updates make a mean of equal weights, later ones an exponential moving average.
    const int64_t updates = tracks_.feature_updates[track];
    const auto count = static_cast<float>(std::min(updates, kMostUpdates));
    return std::min(count / (1.0F + count), settings_.ema);
}

void TrackTable::compare(const Comparison& c, const Step& step) const {
    if (c.track_features.dim == 0 && c.detection_features.dim > 0) {
        // No track has a feature yet.
        if (c.cosines) {
            c.cosines->assign(c.pairs->columns.size(), -INFINITY);
            return;
        }
        c.pairs->clear(c.tracks.count);
        for (int64_t i = 0; i < c.tracks.count; ++i) c.pairs->end_row();
    } else if (step.device && c.track_features.data) {
        associate_cuda({c}, step.device->work);
    } else {
        associate(c);
    }
}

double TrackTable::probation_after(const Step& step, size_t i) const {
    const double left = tracks_.probation[i] - (step.match[i] >= 0 ? step.elapsed : 0.0);
    return within(left, 0.0) ? 0.0 : left;
}

std::vector<ExpectedDetection> TrackTable::expected(const Step& step,
                                                    const std::vector<int64_t>& rows) const {
    std::vector<ExpectedDetection> all;
    all.reserve(rows.size());
    for (const int64_t row : rows) {
        const auto i = static_cast<size_t>(row);
        all.emplace_back(&step.state[20 * i], &step.predicted[4 * i], step.gaps[i], step.elapsed,
                         settings_.noise);
    }
    return all;
}

// What is known of the clip after a step.
ClipMotion TrackTable::learned_clip(const Step& step) const {
    ClipMotion clip = clip_;
    if (!settings_.kalman) return clip;
    // A track's velocity is known from its second detection on.
    const auto known = [&](size_t i) {
        return step.match[i] >= 0 && tracks_.time_since_update[i] <= 0.0 && tracks_.hits[i] > 0 &&
               tracks_.probation[i] <= 0.0;
    };
    size_t count = 0;
    for (size_t i = 0; i < tracks_.size(); ++i) count += known(i);
    // Every frame has a part of many matches, tracks in turn.
    const size_t every = std::max((count + kScaleSample - 1) / kScaleSample, size_t{1});
    std::vector<int64_t> rows, detections;
    rows.reserve(count / every + 1), detections.reserve(count / every + 1);
    for (size_t i = 0, k = 0; i < tracks_.size(); ++i)
        if (known(i) && (static_cast<size_t>(tracks_.hits[i]) + k++) % every == 0)
            rows.push_back(static_cast<int64_t>(i)), detections.push_back(step.match[i]);
    learn_scale(expected(step, rows), step.boxes.data(), detections, clip);
    auto low_found = std::count(step.low_score.begin(), step.low_score.end(), uint8_t{1});
    for (const int32_t j : step.match)
        low_found -= j >= 0 && step.low_score[static_cast<size_t>(j)];
    learn_densities(step.boxes, step.low_score, step.new_tracks.size(),
                    static_cast<size_t>(low_found), clip);
    return clip;
}

struct TrackTable::Next {
    TrackColumns &tracks, &lost;
    std::vector<float> state, boxes;        // of tracks_, after this frame's detections
    std::vector<int64_t> id_of;             // (N) the id of each detection's track, 0 for none
    std::vector<int64_t> freed, allocated;  // slots of expired and of new tracks
    FeatureUpdates features;
};

Report TrackTable::commit(Step& step) {
    expect_current(step, true);
    // Everything that can fail comes first: it allocates memory, and changes nothing that is kept.
    const int64_t dim = dim_ > 0 || !step.has_embeddings() ? dim_ : step.embeddings.dim;
    const size_t started = step.new_tracks.size() + step.on_probation.size();
    reserve_slots(started, step.device ? 0 : dim);
    spare_tracks_.clear(), spare_lost_.clear();
    spare_tracks_.reserve(tracks_.size() + started, state_numbers());
    spare_lost_.reserve(lost_.size() + tracks_.size(), state_numbers());
    Next next{spare_tracks_, spare_lost_, step.state, tracks_.boxes, {}, {}, {}, {}};
    next.id_of.assign(step.scores.size(), 0);
    step.ids = assigned_ids(step);
    const ClipMotion clip = learned_clip(step);
    update_motion(step, next);
    keep_lost_tracks(step, next);
    keep_tracks(step, next);
    start_tracks(step, next);
    Report report;
    report.ids.reserve(next.id_of.size()), report.detections.reserve(next.id_of.size());
    for (size_t j = 0; j < next.id_of.size(); ++j)
        if (next.id_of[j])
            report.ids.push_back(next.id_of[j]),
                report.detections.push_back(static_cast<int64_t>(j));
    const FeatureSet embeddings{step.embeddings.values, step.embeddings.norms, nullptr, dim};
    if (step.device) {
        wait_cuda(step.device->work);
        update_cuda(*step.device, next.allocated, next.features, embeddings);
    }

    // From here on nothing fails.
    dim_ = dim;
    clip_ = clip;
    if (!step.device) {
        for (const int64_t slot : next.allocated) norms_[static_cast<size_t>(slot)] = 0.0F;
        const FeatureUpdates& updates = next.features;
        ema_update(features_.data(), norms_.data(), updates.slots.data(), embeddings.data,
                   embeddings.norms, updates.columns.data(), updates.shares.data(),
                   static_cast<int64_t>(updates.slots.size()), dim);
    }
    free_slots_.resize(free_slots_.size() - next.allocated.size());
    for (const int64_t slot : next.freed) free_slots_.push_back(slot);
    std::swap(tracks_, spare_tracks_), std::swap(lost_, spare_lost_);
    next_id_ = std::max(next_id_, step.next_id);
    impostors_.add(step.impostors), genuines_.add(step.genuines);
    version_ = new_version();
    return report;
}

std::vector<int64_t> TrackTable::assigned_ids(const Step& step) const {
    std::vector<int64_t> ids = tracks_.ids;
    for (size_t k = 0; k < step.tentative; ++k)
        ids[static_cast<size_t>(step.confirmations[k].track)] = step.confirmations[k].id;
    return ids;
}

void TrackTable::update_motion(const Step& step, Next& next) const {
    if (step.camera)
        for (size_t i = 0; i < tracks_.size(); ++i) move_box(*step.camera, &next.boxes[4 * i]);
    std::vector<int64_t> rows, columns;
    rows.reserve(tracks_.size()), columns.reserve(tracks_.size());
    for (size_t i = 0; i < tracks_.size(); ++i)
        if (step.match[i] >= 0)
            rows.push_back(static_cast<int64_t>(i)), columns.push_back(step.match[i]);
    for (size_t k = 0; k < rows.size(); ++k)
        std::copy_n(&step.boxes[4 * static_cast<size_t>(columns[k])], 4,
                    &next.boxes[4 * static_cast<size_t>(rows[k])]);
    if (settings_.kalman) {
        observe(next.state.data(), step.gaps.data(),
                {step.boxes.data(), rows.data(), columns.data(), static_cast<int64_t>(rows.size())},
                settings_.noise);
        return;
    }
    const float gain = static_cast<float>(1.0 - static_cast<double>(settings_.ema));
    for (size_t k = 0; k < rows.size(); ++k) {
        const auto i = static_cast<size_t>(rows[k]), j = static_cast<size_t>(columns[k]);
        float to[4];
        to_centre(&step.boxes[4 * j], to);
        for (size_t c = 0; c < 4; ++c) {
            float& value = next.state[4 * i + c];
            value = value + gain * (to[c] - value);
        }
    }
}

void TrackTable::keep_lost_tracks(const Step& step, Next& next) const {
    for (size_t i = 0; i < lost_.size(); ++i) {
        const bool reidentified = step.ended.count(lost_.ids[i]) > 0;
        const double age = lost_.time_since_update[i] + step.elapsed;
        if (reidentified || !within(age, settings_.reid_max_age)) {
            next.freed.push_back(lost_.slots[i]);
            continue;
        }
        next.lost.append(lost_, i, state_numbers());
        next.lost.time_since_update.back() = age;
        if (step.camera) move_box(*step.camera, &next.lost.boxes[next.lost.boxes.size() - 4]);
    }
}

TrackTable::Fate TrackTable::fate_of(const Step& step, size_t i) const {
    const TrackSettings& s = settings_;
    const bool matched = step.match[i] >= 0, confirmed = step.ids[i] > 0;
    if (step.pause && !confirmed) return Fate::expired;
    // The id belongs to another track now.
    if (!matched && confirmed && step.ended.count(step.ids[i])) return Fate::expired;
    if (matched || within(step.gaps[i], confirmed ? s.max_age : s.tentative_max_age))
        return Fate::tracked;
    // A track with too few hits is not kept: it is likely a false detection.
    const bool kept = confirmed && has_features(step) &&
                      tracks_.hits[i] >= std::max<int64_t>(s.min_hits, 1) &&
                      within(step.gaps[i], s.reid_max_age);
    return kept ? Fate::lost : Fate::expired;
}

void TrackTable::keep_tracks(const Step& step, Next& next) const {
    const size_t numbers = state_numbers();
    if (step.has_embeddings()) next.features.reserve(step.scores.size());
    for (size_t i = 0; i < tracks_.size(); ++i) {
        const int32_t match = step.match[i];
        const auto j = static_cast<size_t>(match);
        const bool matched = match >= 0;
        if (matched && updates_feature(step, i, match)) {
            next.features.slots.push_back(tracks_.slots[i]);
            next.features.columns.push_back(match);
            next.features.shares.push_back(old_feature_weight(i));
        }
        if (matched) next.id_of[j] = step.ids[i];
        const Fate fate = fate_of(step, i);
        if (fate == Fate::expired) {
            next.freed.push_back(tracks_.slots[i]);
            continue;
        }
        TrackColumns& to = fate == Fate::tracked ? next.tracks : next.lost;
        to.append(tracks_, i, numbers);
        to.ids.back() = step.ids[i], to.time_since_update.back() = matched ? 0.0 : step.gaps[i];
        std::copy_n(&next.state[numbers * i], numbers, &to.state[to.state.size() - numbers]);
        std::copy_n(&next.boxes[4 * i], 4, &to.boxes[to.boxes.size() - 4]);
        if (!matched) continue;
        to.probation.back() = probation_after(step, i);
        ++to.hits.back(), to.feature_updates.back() += clearly_seen(step, j);
        to.classes.back() = step.classes[j];
    }
}

void TrackTable::start_tracks(const Step& step, Next& next) const {
    // Confirmations of new tracks are in the order of new_tracks.
    size_t k = step.tentative;
    for (const int64_t detection : step.new_tracks) {
        int64_t id = 0;
        if (k < step.confirmations.size() && step.confirmations[k].detection == detection)
            id = step.confirmations[k++].id;
        start_track(step, detection, id, 0.0, next);
    }
    for (const int64_t detection : step.on_probation)
        start_track(step, detection, 0, kProbation, next);
}

void TrackTable::start_track(const Step& step, int64_t detection, int64_t id, double probation,
                             Next& next) const {
    const auto j = static_cast<size_t>(detection);
    const int64_t slot = free_slots_[free_slots_.size() - 1 - next.allocated.size()];
    float state[20];
    settings_.kalman ? start(&step.boxes[4 * j], settings_.noise, state)
                     : to_centre(&step.boxes[4 * j], state);
    TrackColumns& to = next.tracks;
    to.ids.push_back(id), to.hits.push_back(0), to.time_since_update.push_back(0.0);
    to.probation.push_back(probation);
    to.feature_updates.push_back(clearly_seen(step, j)), to.slots.push_back(slot);
    to.classes.push_back(step.classes[j]);
    to.boxes.insert(to.boxes.end(), &step.boxes[4 * j], &step.boxes[4 * j] + 4);
    to.state.insert(to.state.end(), state, state + state_numbers());
    next.id_of[j] = id;
    next.allocated.push_back(slot);
    if (!step.has_embeddings()) return;
    next.features.slots.push_back(slot), next.features.columns.push_back(detection);
    next.features.shares.push_back(0.0F);
}

void TrackTable::restore(TrackColumns tracks, TrackColumns lost, std::vector<float> features,
                         std::vector<float> norms, int64_t dim, int64_t next_id,
                         const Impostors::Counts& impostors, const Genuines& genuines,
                         const ClipMotion& clip) {
    int64_t slot = 0;
    for (TrackColumns* const columns : {&tracks, &lost}) {
        columns->slots.clear();
        while (columns->slots.size() < columns->size()) columns->slots.push_back(slot++);
    }
    norms.resize(tracks.size() + lost.size(), 0.0F);
    std::swap(tracks_, tracks), std::swap(lost_, lost);
    std::swap(features_, features), std::swap(norms_, norms);
    free_slots_.clear();
    dim_ = dim, next_id_ = next_id, clip_ = clip, genuines_ = genuines;
    impostors_.set_counts(impostors);
    version_ = new_version();
}

void TrackTable::reset() {
    impostors_ = {}, genuines_ = {};
    tracks_.clear(), lost_.clear();
    features_.clear(), norms_.clear(), free_slots_.clear();
    dim_ = 0, next_id_ = 1, clip_ = {};
    version_ = new_version();
}

}  // namespace sslmot
