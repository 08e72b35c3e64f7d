#include "track_table.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>

#include "occlusion.h"
#include "overlap.h"

namespace sslmot {

namespace {

// A class that no detection has: integers of detections are at most 1e9.
constexpr int32_t kNoClass = std::numeric_limits<int32_t>::min();
// A feature of so many updates is an average over the past whatever ema is.
constexpr int64_t kMostUpdates = 9999;

void move_point(const CameraMotion& by, float* point) {
    const float x = point[0], y = point[1];
    point[0] = x * by.linear[0][0] + y * by.linear[0][1];
    point[1] = x * by.linear[1][0] + y * by.linear[1][1];
}

// Moves a state with the picture: value and velocity turn, all is zoomed, variances by its square.
void move_state(const CameraMotion& by, float* state, size_t numbers) {
    for (size_t k = 0; k < numbers; ++k) {
        const size_t row = k / 4, column = k % 4;
        if (row < 2 && column < 2) continue;  // turned below
        state[k] *= by.zoom;
        if (row >= 2) state[k] *= by.zoom;
    }
    move_point(by, state);
    state[0] += by.shift[0], state[1] += by.shift[1];
    if (numbers > 4) move_point(by, state + 4);
}

void move_box(const CameraMotion& by, float* xyxy) {
    float box[4];
    to_centre(xyxy, box);
    move_state(by, box, 4);
    to_corners(box, xyxy);
}

uint64_t new_version() {
    static std::atomic<uint64_t> last{0};
    return ++last;
}

// Where the values of some rows stand, gathered.
template <class T>
std::vector<T> take(const std::vector<T>& values, const std::vector<int64_t>& rows,
                    size_t width = 1) {
    std::vector<T> taken;
    taken.reserve(rows.size() * width);
    for (const int64_t row : rows) {
        const auto first = values.begin() + static_cast<std::ptrdiff_t>(width) * row;
        taken.insert(taken.end(), first, first + static_cast<std::ptrdiff_t>(width));
    }
    return taken;
}

std::vector<int64_t> range(size_t n) {
    std::vector<int64_t> all(n);
    for (size_t i = 0; i < n; ++i) all[i] = static_cast<int64_t>(i);
    return all;
}

// The ids whose old tracks end, to be asked for many.
class Ended {
  public:
    explicit Ended(const Step& step) : ids_(step.ended) { std::sort(ids_.begin(), ids_.end()); }
    bool contains(int64_t id) const { return std::binary_search(ids_.begin(), ids_.end(), id); }

  private:
    std::vector<int64_t> ids_;
};

bool any(const std::vector<uint8_t>& flags) {
    return std::find(flags.begin(), flags.end(), 1) != flags.end();
}

// Whether each detection has no track.
std::vector<uint8_t> free_detections(const Step& step) {
    std::vector<uint8_t> free(step.scores.size(), 1);
    for (const int32_t j : step.match)
        if (j >= 0) free[static_cast<size_t>(j)] = 0;
    return free;
}

}  // namespace

void TrackColumns::clear() {
    ids.clear(), hits.clear(), time_since_update.clear(), feature_updates.clear(), slots.clear();
    classes.clear(), boxes.clear(), state.clear();
}

void TrackColumns::reserve(size_t tracks, size_t numbers) {
    ids.reserve(tracks), hits.reserve(tracks), time_since_update.reserve(tracks);
    feature_updates.reserve(tracks), slots.reserve(tracks), classes.reserve(tracks);
    boxes.reserve(4 * tracks), state.reserve(numbers * tracks);
}

void TrackColumns::append(const TrackColumns& from, size_t i, size_t numbers) {
    ids.push_back(from.ids[i]), hits.push_back(from.hits[i]);
    time_since_update.push_back(from.time_since_update[i]);
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

void TrackTable::prepare(Step& step) const {
    const size_t n = step.scores.size(), count = tracks_.size(), numbers = state_numbers();
    step.version = version_;
    step.state = tracks_.state;
    if (step.moved)
        for (size_t i = 0; i < count; ++i)
            move_state(step.camera, &step.state[numbers * i], numbers);
    step.predicted.resize(4 * count);
    if (settings_.kalman)
        predict(step.state.data(), static_cast<int64_t>(count), tracks_.time_since_update.data(),
                step.predicted.data());
    else
        for (size_t i = 0; i < count; ++i) to_corners(&step.state[4 * i], &step.predicted[4 * i]);

    step.low.resize(n), step.visible.assign(n, 0);
    for (size_t j = 0; j < n; ++j) step.low[j] = step.scores[j] < settings_.high_score;
    if (!step.described()) return;
    for (size_t j = 0; j < n; ++j) step.visible[j] = step.embeddings.norms_here[j] >= kSmallestNorm;
    if (settings_.max_occlusion < 1.0F) {
        std::vector<float> hidden(n);
        find_occlusion(step.boxes.data(), static_cast<int64_t>(n), hidden.data());
        for (size_t j = 0; j < n; ++j) step.visible[j] &= hidden[j] <= settings_.max_occlusion;
    }
}

bool TrackTable::known(const Step& step, int64_t slot) const {
    if (dim_ == 0) return false;
    return (step.device ? step.device->norms_here[slot] : norms_[static_cast<size_t>(slot)]) > 0.0F;
}

void TrackTable::compare(Job& job, const Step& step, bool all) const {
    Round& round = job.round;
    const size_t count = round.tracks.size();
    round.match.assign(count, -1);
    // All tracks and detections are where they are; some are gathered.
    if (!all) {
        job.track_boxes = take(step.predicted, round.tracks, 4);
        job.track_classes = take(tracks_.classes, round.tracks);
        job.boxes = take(step.boxes, round.detections, 4);
        job.classes = take(step.classes, round.detections);
    } else if (any(step.low)) {
        // A low-score detection is asked when the others have their tracks.
        job.classes = step.classes;
        for (size_t j = 0; j < job.classes.size(); ++j)
            if (step.low[j]) job.classes[j] = kNoClass;
    }
    Comparison& c = job.comparison;
    c.tracks = {all ? step.predicted.data() : job.track_boxes.data(),
                all ? tracks_.classes.data() : job.track_classes.data(),
                static_cast<int64_t>(count)};
    c.detections = {all ? step.boxes.data() : job.boxes.data(),
                    job.classes.empty() ? step.classes.data() : job.classes.data(),
                    static_cast<int64_t>(round.detections.size())};
    c.pairs = &round.pairs;
    c.match = round.match.data();
    if (round.stage == Stage::motion) {
        c.params = settings_.by_motion;
        job.max_distance.assign(count, settings_.motion_max_distance);
    } else {
        c.params = settings_.by_both;
        job.max_distance.assign(count, settings_.appearance_max_distance);
        job.min_affinity.reserve(count), job.slots.reserve(count);
        for (const int64_t row : round.tracks) {
            const auto i = static_cast<size_t>(row);
            job.min_affinity.push_back(tracks_.time_since_update[i] > 0 ? settings_.lost_affinity
                                                                        : settings_.min_affinity);
            job.slots.push_back(tracks_.slots[i]);
        }
        c.min_affinity = job.min_affinity.data();
        c.track_features = table_features(step, job.slots.data());
        c.detection_features = {step.embeddings.values, step.embeddings.norms,
                                all ? nullptr : round.detections.data(), step.embeddings.dim};
    }
    c.max_distance = job.max_distance.data();
}

void TrackTable::first_round(Job& job, const Step& step) const {
    job.round.stage = step.described() ? Stage::appearance : Stage::motion;
    job.round.tracks = range(tracks_.size());
    job.round.detections = range(step.scores.size());
    compare(job, step, true);
}

FeatureSet TrackTable::table_features(const Step& step, const int64_t* slots) const {
    if (step.device) return {step.device->values, step.device->norms, slots, step.device->dim};
    return {features_.data(), norms_.data(), slots, dim_};
}

void TrackTable::run(const Comparison& c, const Step& step) const {
    if (c.track_features.dim == 0 && c.detection_features.dim > 0) {
        // Nothing is known of any track yet, so nothing matches by appearance.
        c.pairs->clear();
        for (int64_t i = 0; i < c.tracks.count; ++i) c.pairs->end_row();
    } else if (step.device && c.track_features.data) {
        associate_cuda({c}, step.device->work);
    } else {
        ::sslmot::associate(c);
    }
}

void TrackTable::associate(const std::vector<const TrackTable*>& tables,
                           const std::vector<Step*>& steps) {
    std::vector<Job> jobs(tables.size());
    std::vector<uint8_t> done(tables.size(), 0);
    for (size_t k = 0; k < tables.size(); ++k) {
        tables[k]->expect_current(*steps[k], false);
        if (steps[k]->device) wait_cuda(steps[k]->device->work);
        tables[k]->first_round(jobs[k], *steps[k]);
    }
    for (size_t k = 0; k < tables.size(); ++k) {
        if (done[k]) continue;
        const DeviceFeatures* const device = steps[k]->device;
        if (!device || jobs[k].comparison.track_features.dim == 0) {
            tables[k]->run(jobs[k].comparison, *steps[k]);
            continue;
        }
        // Those on the same device go together, in the buffers of the first.
        std::vector<Comparison> together;
        int64_t bytes = 0;
        for (size_t m = k; m < tables.size(); ++m) {
            const Comparison& c = jobs[m].comparison;
            if (!steps[m]->device || c.track_features.dim == 0) continue;
            const CudaWork& work = steps[m]->device->work;
            const int64_t more = cuda_comparison_bytes(c.tracks.count, c.detections.count);
            if (done[m] || work.device_id != device->work.device_id ||
                work.stream != device->work.stream || bytes + more > device->work.size)
                continue;
            together.push_back(c), bytes += more, done[m] = 1;
        }
        associate_cuda(together, device->work);
    }
    for (size_t k = 0; k < tables.size(); ++k) {
        steps[k]->match = jobs[k].round.match;
        steps[k]->rounds.push_back(std::move(jobs[k].round));
        tables[k]->more_rounds(*steps[k]);
        tables[k]->find_new_tracks(*steps[k]);
        steps[k]->associated = true;
    }
}

void TrackTable::more_rounds(Step& step) const {
    // What is left may continue a track that was seen in the frame before.
    std::vector<int64_t> tracks, clear, unclear;
    for (size_t i = 0; i < tracks_.size(); ++i)
        if (step.match[i] < 0 && tracks_.time_since_update[i] == 0)
            tracks.push_back(static_cast<int64_t>(i));
    if (tracks.empty()) return;
    std::vector<uint8_t> free = free_detections(step);
    if (!any(free)) return;

    const auto again = [&](Stage stage, const std::vector<int64_t>& some, auto allowed) {
        std::vector<int64_t> rows, others;
        for (const int64_t i : some)
            if (step.match[static_cast<size_t>(i)] < 0) rows.push_back(i);
        for (size_t j = 0; j < free.size(); ++j)
            if (free[j] && allowed(j)) others.push_back(static_cast<int64_t>(j));
        if (rows.empty() || others.empty()) return;
        Job job;
        Round& round = job.round;
        round.stage = stage, round.tracks = std::move(rows), round.detections = std::move(others);
        compare(job, step, false);
        run(job.comparison, step);
        for (size_t i = 0; i < round.match.size(); ++i) {
            if (round.match[i] < 0) continue;
            const int64_t j = round.detections[static_cast<size_t>(round.match[i])];
            step.match[static_cast<size_t>(round.tracks[i])] = static_cast<int32_t>(j);
            free[static_cast<size_t>(j)] = 0;
        }
        step.rounds.push_back(std::move(round));
    };
    for (const int64_t row : tracks) {
        const auto i = static_cast<size_t>(row);
        const bool seen = tracks_.feature_updates[i] > 0 && known(step, tracks_.slots[i]);
        (seen ? clear : unclear).push_back(row);
    }
    // Motion alone decides where appearance says little: it is unknown, or the box is hidden.
    const auto by_motion_alone = [&](bool low) {
        if (!step.described() || !settings_.motion_fallback) return;
        again(Stage::motion, unclear, [&](size_t j) { return step.low[j] == low; });
        again(Stage::motion, clear,
              [&](size_t j) { return step.low[j] == low && !step.visible[j]; });
    };
    by_motion_alone(false);
    if (!any(step.low)) return;
    again(step.rounds.front().stage, tracks, [&](size_t j) { return step.low[j] != 0; });
    by_motion_alone(true);
}

void TrackTable::find_new_tracks(Step& step) const {
    const std::vector<uint8_t> free = free_detections(step);
    for (size_t j = 0; j < free.size(); ++j)
        if (free[j] && !step.low[j]) step.new_tracks.push_back(static_cast<int64_t>(j));
    if (step.new_tracks.empty() || settings_.new_track_max_iou >= 1.0F) return;
    std::vector<int64_t> known;
    for (size_t i = 0; i < tracks_.size(); ++i)
        if (step.match[i] >= 0 && tracks_.ids[i] > 0) known.push_back(step.match[i]);
    const auto boxes = take(step.boxes, step.new_tracks, 4), others = take(step.boxes, known, 4);
    const auto classes = take(step.classes, step.new_tracks),
               other_classes = take(step.classes, known);
    std::vector<float> overlap(step.new_tracks.size());
    find_overlaps({boxes.data(), classes.data(), static_cast<int64_t>(classes.size())},
                  {others.data(), other_classes.data(), static_cast<int64_t>(known.size())},
                  overlap.data());
    size_t kept = 0;
    for (size_t k = 0; k < step.new_tracks.size(); ++k)
        if (overlap[k] <= settings_.new_track_max_iou) step.new_tracks[kept++] = step.new_tracks[k];
    step.new_tracks.resize(kept);
}

bool TrackTable::takes_feature(const Step& step, size_t track, int64_t detection) const {
    // Before a track was seen clearly, a hidden look is better than none.
    const auto j = static_cast<size_t>(detection);
    return step.described() &&
           ((step.visible[j] && !step.low[j]) || tracks_.feature_updates[track] == 0);
}

float TrackTable::share(int64_t updates) const {
    // The first few weigh alike.
    const auto count = static_cast<float>(std::min(updates, kMostUpdates));
    return std::min(count / (1.0F + count), settings_.ema);
}

std::vector<size_t> TrackTable::lost_tracks(const Step& step) const {
    std::vector<size_t> rows;
    for (size_t i = 0; i < lost_.size(); ++i)
        if (lost_.time_since_update[i] < settings_.reid_max_age) rows.push_back(i);
    for (size_t i = 0; i < tracks_.size(); ++i)
        if (step.match[i] < 0 && tracks_.ids[i] > 0 &&
            tracks_.time_since_update[i] < settings_.reid_max_age)
            rows.push_back(lost_.size() + i);
    return rows;
}

void TrackTable::preview_features(Step& step) const {
    std::vector<int64_t> from;
    FeatureUpdates updates;
    for (const Confirmation& confirmation : step.confirmations) {
        bool taken = step.described();
        from.push_back(-1), updates.shares.push_back(0.0F);
        if (confirmation.track >= 0) {
            const auto i = static_cast<size_t>(confirmation.track);
            if (dim_ > 0) from.back() = tracks_.slots[i];
            updates.shares.back() = share(tracks_.feature_updates[i]);
            taken = takes_feature(step, i, confirmation.detection);
        }
        updates.columns.push_back(taken ? confirmation.detection : -1);
    }
    const Embeddings& e = step.embeddings;
    if (step.device) {
        wait_cuda(step.device->work);
        preview_cuda(*step.device, from, updates, {e.values, e.norms, nullptr, e.dim});
        return;
    }
    const auto dim = static_cast<size_t>(step.described() ? e.dim : dim_);
    step.features.assign(from.size() * dim, 0.0F), step.feature_norms.assign(from.size(), 0.0F);
    for (size_t k = 0; k < from.size(); ++k) {
        if (from[k] >= 0 && known(step, from[k])) {
            const auto slot = static_cast<size_t>(from[k]);
            std::copy_n(&features_[slot * dim], dim, &step.features[k * dim]);
            step.feature_norms[k] = norms_[slot];
        }
        if (updates.columns[k] < 0) continue;
        const auto row = static_cast<int64_t>(k);
        ema_update(step.features.data(), step.feature_norms.data(), &row, e.values, e.norms,
                   &updates.columns[k], &updates.shares[k], 1, e.dim);
    }
}

std::vector<int32_t> TrackTable::compare_lost(const Step& step, const std::vector<size_t>& lost,
                                              size_t begin, size_t end, Candidates& pairs) const {
    std::vector<float> boxes, max_distance, there;
    std::vector<int32_t> classes, their_classes, match(lost.size(), -1);
    std::vector<int64_t> slots, rows;
    for (const size_t at : lost) {
        const bool old = at < lost_.size();
        const TrackColumns& from = old ? lost_ : tracks_;
        const size_t i = old ? at : at - lost_.size();
        boxes.insert(boxes.end(), &from.boxes[4 * i], &from.boxes[4 * i] + 4);
        if (step.moved) move_box(step.camera, &boxes[boxes.size() - 4]);
        classes.push_back(from.classes[i]), slots.push_back(from.slots[i]);
        const auto unseen = static_cast<double>(from.time_since_update[i] + 1);
        max_distance.push_back(
            static_cast<float>(static_cast<double>(settings_.appearance_max_distance) +
                               settings_.reid_max_speed * unseen));
    }
    for (size_t k = begin; k < end; ++k) {
        const Confirmation& confirmation = step.confirmations[k];
        const auto j = static_cast<size_t>(confirmation.detection);
        there.insert(there.end(), &step.boxes[4 * j], &step.boxes[4 * j] + 4);
        their_classes.push_back(confirmation.track < 0
                                    ? step.classes[j]
                                    : tracks_.classes[static_cast<size_t>(confirmation.track)]);
        rows.push_back(static_cast<int64_t>(k));
    }
    const std::vector<float> least(lost.size(), settings_.lost_affinity);
    const bool device = step.device != nullptr;
    Comparison c{};
    c.tracks = {boxes.data(), classes.data(), static_cast<int64_t>(lost.size())};
    c.detections = {there.data(), their_classes.data(), static_cast<int64_t>(rows.size())};
    c.track_features = table_features(step, slots.data());
    c.detection_features = {device ? step.device->scratch : step.features.data(),
                            device ? step.device->scratch_norms : step.feature_norms.data(),
                            rows.data(), c.track_features.dim};
    c.max_distance = max_distance.data(), c.min_affinity = least.data(),
    c.params = settings_.by_appearance;
    c.pairs = &pairs, c.match = match.data();
    run(c, step);
    return match;
}

std::vector<int32_t> TrackTable::compare_most_lost(const Step& step, std::vector<size_t>& lost,
                                                   size_t begin, size_t end,
                                                   Candidates& pairs) const {
    for (;;) {
        try {
            return compare_lost(step, lost, begin, end, pairs);
        } catch (const std::length_error&) {
            // A crowd that comes back at once: those that were seen last are the likeliest.
            lost.erase(lost.begin(),
                       lost.begin() + static_cast<std::ptrdiff_t>((lost.size() + 1) / 2));
        }
    }
}

void TrackTable::reidentify(Step& step, bool features) const {
    expect_current(step, true);
    if (!step.confirmations.empty()) throw std::logic_error("step: expected it once, got it twice");
    const TrackSettings& s = settings_;
    for (size_t i = 0; i < tracks_.size(); ++i)
        if (tracks_.ids[i] == 0 && step.match[i] >= 0 && tracks_.hits[i] + 1 >= s.min_hits)
            step.confirmations.push_back(
                {static_cast<int64_t>(i), step.match[i], 0, Stage::started, NAN});
    const size_t due = step.tentative = step.confirmations.size();
    for (const int64_t j : step.new_tracks)
        if (s.min_hits == 0 || step.scores[static_cast<size_t>(j)] >= s.instant_confirm_score)
            step.confirmations.push_back({-1, j, 0, Stage::started, NAN});
    if (step.confirmations.empty() || !has_features(step)) return;
    std::vector<size_t> lost;
    if (dim_ > 0) lost = lost_tracks(step);
    if (lost.empty() && !features) return;
    preview_features(step);

    const auto id_of = [&](size_t at) {
        return at < lost_.size() ? lost_.ids[at] : tracks_.ids[at - lost_.size()];
    };
    Candidates pairs;
    const auto reidentify = [&](size_t begin, size_t end) {
        if (begin == end || lost.empty()) return;
        const std::vector<int32_t> match = compare_most_lost(step, lost, begin, end, pairs);
        std::vector<size_t> left;
        for (size_t i = 0; i < lost.size(); ++i) {
            if (match[i] < 0) {
                left.push_back(lost[i]);
                continue;
            }
            Confirmation& found = step.confirmations[begin + static_cast<size_t>(match[i])];
            found.id = id_of(lost[i]), found.stage = Stage::reidentified;
            for (auto e = static_cast<size_t>(pairs.row_begin[i]);
                 e < static_cast<size_t>(pairs.row_begin[i + 1]); ++e)
                if (pairs.columns[e] == match[i]) found.affinity = 1.0F - pairs.values[e];
            step.ended.push_back(found.id);
        }
        lost.swap(left);
    };
    reidentify(0, due);
    if (s.min_hits == 0) {
        reidentify(due, step.confirmations.size());
    } else if (due < step.confirmations.size() && !lost.empty()) {
        // A new detection that resembles a lost track waits for a second look.
        compare_most_lost(step, lost, due, step.confirmations.size(), pairs);
        for (size_t i = 0; i < lost.size(); ++i)
            for (auto e = static_cast<size_t>(pairs.row_begin[i]);
                 e < static_cast<size_t>(pairs.row_begin[i + 1]); ++e)
                if (!(pairs.values[e] >= s.by_appearance.max_cost))
                    step.reid_pending.emplace_back(due + static_cast<size_t>(pairs.columns[e]),
                                                   id_of(lost[i]));
    }
}

std::vector<size_t> TrackTable::without_id(const Step& step, bool new_tracks) const {
    expect_current(step, true);
    const size_t begin = new_tracks ? step.tentative : 0;
    const size_t end = new_tracks ? step.confirmations.size() : step.tentative;
    const Ended ended(step);
    std::vector<uint8_t> waits(step.confirmations.size(), 0);
    for (const auto& [confirmation, id] : step.reid_pending)
        waits[confirmation] |= static_cast<uint8_t>(!ended.contains(id));
    std::vector<size_t> rows;
    for (size_t k = begin; k < end; ++k)
        if (!step.confirmations[k].id && !waits[k]) rows.push_back(k);
    return rows;
}

void TrackTable::name(Step& step, bool new_tracks, const int64_t* known, int64_t first_id) const {
    step.next_id = std::max({step.next_id, next_id_, first_id});
    for (const size_t k : without_id(step, new_tracks)) {
        Confirmation& confirmation = step.confirmations[k];
        const int64_t seen_before = known ? *known++ : 0;
        if (seen_before) {
            confirmation.id = seen_before, confirmation.stage = Stage::gallery;
            step.ended.push_back(seen_before);  // it may be lost_tracks here
        } else {
            confirmation.id = step.next_id++;
        }
    }
}

void TrackTable::read_feature(int64_t slot, float* out) const {
    const auto dim = static_cast<size_t>(dim_), at = static_cast<size_t>(slot);
    std::fill_n(out, dim, 0.0F);
    if (dim_ > 0 && norms_[at] > 0.0F) std::copy_n(&features_[at * dim], dim, out);
}

size_t TrackTable::slots_with(size_t more) const {
    // Twice as many, so that a growing crowd moves its features seldom.
    const size_t size = norms_.size(), free = free_slots_.size();
    return free >= more ? size : std::max({size_t{64}, 2 * size, size + more - free});
}

void TrackTable::reserve_slots(size_t more, int64_t dim) {
    const size_t size = norms_.size(), grown = slots_with(more);
    free_slots_.reserve(grown);  // so that giving back cannot fail
    features_.resize(grown * static_cast<size_t>(dim), 0.0F);
    norms_.resize(grown, 0.0F);
    for (size_t slot = grown; slot-- > size;) free_slots_.push_back(static_cast<int64_t>(slot));
}

Report TrackTable::commit(Step& step) {
    const TrackSettings& s = settings_;
    expect_current(step, true);
    const size_t n = step.scores.size(), count = tracks_.size(), numbers = state_numbers();

    // All that can fail comes first: memory.
    const int64_t dim = dim_ > 0 || !step.described() ? dim_ : step.embeddings.dim;
    reserve_slots(step.new_tracks.size(), step.device ? 0 : dim);
    TrackColumns &next = spare_tracks_, &lost = spare_lost_;
    next.clear(), lost.clear();
    next.reserve(count + step.new_tracks.size(), numbers);
    lost.reserve(lost_.size() + count, numbers);
    std::vector<int64_t> freed, cleared, rows, columns, who(n, 0);
    std::vector<float> moved_state = step.state, moved_boxes = tracks_.boxes;
    FeatureUpdates updates;
    freed.reserve(count + lost_.size()), rows.reserve(count), columns.reserve(count);
    cleared.reserve(step.new_tracks.size());
    updates.slots.reserve(count + n), updates.columns.reserve(count + n);
    updates.shares.reserve(count + n);
    Report report;
    report.ids.reserve(n), report.detections.reserve(n);
    step.ids = tracks_.ids;
    const Ended ended(step);

    // The tracks in this frame.
    if (step.moved)
        for (size_t i = 0; i < count; ++i) move_box(step.camera, &moved_boxes[4 * i]);
    for (size_t i = 0; i < count; ++i)
        if (step.match[i] >= 0)
            rows.push_back(static_cast<int64_t>(i)), columns.push_back(step.match[i]);
    const Observations seen{step.boxes.data(), step.scores.data(), rows.data(), columns.data(),
                            static_cast<int64_t>(rows.size())};
    if (s.kalman) {
        observe(moved_state.data(), moved_boxes.data(), tracks_.time_since_update.data(), seen,
                s.noise, s.reupdate);
    } else {
        const float step_size = static_cast<float>(1.0 - static_cast<double>(s.ema));
        for (size_t k = 0; k < rows.size(); ++k) {
            const auto i = static_cast<size_t>(rows[k]), j = static_cast<size_t>(columns[k]);
            float to[4];
            to_centre(&step.boxes[4 * j], to);
            for (size_t c = 0; c < 4; ++c) {
                float& value = moved_state[4 * i + c];
                value = value + step_size * (to[c] - value);
            }
            std::copy_n(&step.boxes[4 * j], 4, &moved_boxes[4 * i]);
        }
    }
    for (const Confirmation& some : step.confirmations)
        if (some.track >= 0) step.ids[static_cast<size_t>(some.track)] = some.id;

    for (size_t i = 0; i < lost_.size(); ++i) {
        const bool over = ended.contains(lost_.ids[i]);
        if (over || lost_.time_since_update[i] >= s.reid_max_age) {
            freed.push_back(lost_.slots[i]);
            continue;
        }
        lost.append(lost_, i, numbers);
        ++lost.time_since_update.back();
        if (step.moved) move_box(step.camera, &lost.boxes[lost.boxes.size() - 4]);
    }
    for (size_t i = 0; i < count; ++i) {
        const int32_t j = step.match[i];
        const int64_t id = step.ids[i];
        const int64_t unseen = j >= 0 ? 0 : tracks_.time_since_update[i] + 1;
        const bool over = j < 0 && id > 0 && ended.contains(id);
        const bool followed = !over && unseen <= (id > 0 ? s.max_age : s.tentative_max_age);
        // A track that was seen but once is not remembered: false detections come like that.
        const bool kept = !followed && !over && id > 0 && has_features(step) &&
                          tracks_.hits[i] + (j >= 0) >= std::max<int64_t>(s.min_hits, 1) &&
                          unseen <= s.reid_max_age;
        if (j >= 0 && takes_feature(step, i, j)) {
            updates.slots.push_back(tracks_.slots[i]), updates.columns.push_back(j);
            updates.shares.push_back(share(tracks_.feature_updates[i]));
        }
        if (j >= 0 && id > 0) who[static_cast<size_t>(j)] = id;
        if (!followed && !kept) {
            freed.push_back(tracks_.slots[i]);
            continue;
        }
        TrackColumns& to = followed ? next : lost;
        to.append(tracks_, i, numbers);
        to.ids.back() = id, to.time_since_update.back() = unseen;
        std::copy_n(&moved_state[numbers * i], numbers, &to.state[to.state.size() - numbers]);
        std::copy_n(&moved_boxes[4 * i], 4, &to.boxes[to.boxes.size() - 4]);
        if (j < 0) continue;
        const auto at = static_cast<size_t>(j);
        ++to.hits.back();
        to.feature_updates.back() += step.described() && step.visible[at] && !step.low[at];
    }
    // New tracks.
    auto confirmation = step.confirmations.begin();
    for (const int64_t detection : step.new_tracks) {
        const auto j = static_cast<size_t>(detection);
        const int64_t slot = free_slots_[free_slots_.size() - 1 - cleared.size()];
        const bool clear = step.described() && step.visible[j] && !step.low[j];
        next.ids.push_back(0), next.hits.push_back(0), next.time_since_update.push_back(0);
        next.feature_updates.push_back(clear), next.slots.push_back(slot);
        next.classes.push_back(step.classes[j]);
        next.boxes.insert(next.boxes.end(), &step.boxes[4 * j], &step.boxes[4 * j] + 4);
        float state[20];
        s.kalman ? start(&step.boxes[4 * j], s.noise, state) : to_centre(&step.boxes[4 * j], state);
        next.state.insert(next.state.end(), state, state + numbers);
        cleared.push_back(slot);
        if (step.described())
            updates.slots.push_back(slot), updates.columns.push_back(detection),
                updates.shares.push_back(0.0F);
        // Newcomers are in the order of new_tracks, after those that are tracks.
        while (confirmation != step.confirmations.end() &&
               (confirmation->track >= 0 || confirmation->detection < detection))
            ++confirmation;
        if (confirmation != step.confirmations.end() && confirmation->detection == detection)
            next.ids.back() = who[j] = confirmation->id;
    }
    for (size_t j = 0; j < n; ++j)
        if (who[j])
            report.ids.push_back(who[j]), report.detections.push_back(static_cast<int64_t>(j));

    const FeatureSet embeddings{step.embeddings.values, step.embeddings.norms, nullptr, dim};
    if (step.device) {
        wait_cuda(step.device->work);
        update_cuda(*step.device, cleared, updates, embeddings);
    }
    // From here on nothing fails.
    dim_ = dim;
    if (!step.device) {
        for (const int64_t slot : cleared) norms_[static_cast<size_t>(slot)] = 0.0F;
        ema_update(features_.data(), norms_.data(), updates.slots.data(), embeddings.data,
                   embeddings.norms, updates.columns.data(), updates.shares.data(),
                   static_cast<int64_t>(updates.slots.size()), dim);
    }
    free_slots_.resize(free_slots_.size() - cleared.size());
    for (const int64_t slot : freed) free_slots_.push_back(slot);
    std::swap(tracks_, next), std::swap(lost_, lost);
    next_id_ = std::max(next_id_, step.next_id);
    version_ = new_version();
    return report;
}

void TrackTable::restore(TrackColumns tracks, TrackColumns lost, std::vector<float> features,
                         std::vector<float> norms, int64_t dim, int64_t next_id) {
    int64_t slot = 0;
    for (TrackColumns* const columns : {&tracks, &lost}) {
        columns->slots.clear();
        while (columns->slots.size() < columns->size()) columns->slots.push_back(slot++);
    }
    norms.resize(tracks.size() + lost.size(), 0.0F);
    std::swap(tracks_, tracks), std::swap(lost_, lost);
    std::swap(features_, features), std::swap(norms_, norms);
    free_slots_.clear();
    dim_ = dim, next_id_ = next_id;
    version_ = new_version();
}

void TrackTable::reset() {
    tracks_.clear(), lost_.clear();
    features_.clear(), norms_.clear(), free_slots_.clear();
    dim_ = 0, next_id_ = 1;
    version_ = new_version();
}

}  // namespace sslmot
