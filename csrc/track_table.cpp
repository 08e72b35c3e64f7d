#include "track_table.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>

#include "hidden.h"
#include "overlap.h"

namespace sslmot {

namespace {

// A class that no detection has: integers of detections are at most 1e9.
constexpr int32_t kNoClass = std::numeric_limits<int32_t>::min();
// A feature of so many updates is an average over the past whatever delta is.
constexpr int64_t kMostUpdates = 9999;
// Standard deviation of a new track's velocity, in box heights a frame.
constexpr double kFirstVelocity = 0.12;

void to_centre(const float* xyxy, float* box) {
    box[0] = 0.5F * xyxy[0] + 0.5F * xyxy[2];
    box[1] = 0.5F * xyxy[1] + 0.5F * xyxy[3];
    box[2] = xyxy[2] - xyxy[0];
    box[3] = xyxy[3] - xyxy[1];
}

void to_corners(const float* box, float* xyxy) {
    xyxy[0] = box[0] - 0.5F * box[2];
    xyxy[1] = box[1] - 0.5F * box[3];
    xyxy[2] = box[0] + 0.5F * box[2];
    xyxy[3] = box[1] + 0.5F * box[3];
}

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

template <class Container>
bool contains(const Container& values, int64_t value) {
    return std::find(values.begin(), values.end(), value) != values.end();
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

TrackTable::TrackTable(const TrackSettings& settings) : settings_(settings) {}

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
    for (size_t j = 0; j < n; ++j) step.low[j] = step.scores[j] < settings_.low_score;
    if (!step.described()) return;
    for (size_t j = 0; j < n; ++j) step.visible[j] = step.embeddings.norms[j] >= kSmallestNorm;
    if (settings_.max_hidden < 1.0F) {
        std::vector<float> hidden(n);
        find_hidden(step.boxes.data(), static_cast<int64_t>(n), hidden.data());
        for (size_t j = 0; j < n; ++j) step.visible[j] &= hidden[j] <= settings_.max_hidden;
    }
}

Round TrackTable::compare(const Step& step, Stage stage, std::vector<int64_t> tracks,
                          std::vector<int64_t> detections, bool all) const {
    Round round{stage, std::move(tracks), std::move(detections), {}, {}};
    const size_t count = round.tracks.size();
    round.match.resize(count);

    // All tracks and detections are where they are; some are gathered.
    std::vector<float> track_boxes, boxes;
    std::vector<int32_t> track_classes, classes;
    if (!all) {
        track_boxes = take(step.predicted, round.tracks, 4);
        track_classes = take(tracks_.classes, round.tracks);
        boxes = take(step.boxes, round.detections, 4);
        classes = take(step.classes, round.detections);
    } else if (std::count(step.low.begin(), step.low.end(), 1)) {
        // A low-score detection is asked when the others have their tracks.
        classes = step.classes;
        for (size_t j = 0; j < classes.size(); ++j)
            if (step.low[j]) classes[j] = kNoClass;
    }
    Comparison c{};
    c.tracks = {all ? step.predicted.data() : track_boxes.data(),
                all ? tracks_.classes.data() : track_classes.data(), static_cast<int64_t>(count)};
    c.detections = {all ? step.boxes.data() : boxes.data(),
                    classes.empty() ? step.classes.data() : classes.data(),
                    static_cast<int64_t>(round.detections.size())};
    c.pairs = &round.pairs;
    c.match = round.match.data();
    std::vector<float> reach, least;
    std::vector<int64_t> slots;
    if (stage == Stage::motion) {
        c.params = settings_.by_motion;
        reach.assign(count, settings_.motion_reach);
    } else {
        c.params = settings_.by_both;
        reach.assign(count, settings_.appearance_reach);
        least.reserve(count), slots.reserve(count);
        for (const int64_t row : round.tracks) {
            const auto i = static_cast<size_t>(row);
            least.push_back(tracks_.time_since_update[i] > 0 ? settings_.lost_affinity
                                                             : settings_.min_affinity);
            slots.push_back(tracks_.slots[i]);
        }
        c.min_affinity = least.data();
        c.track_features = {features_.data(), norms_.data(), slots.data(), step.embeddings.dim};
        c.detection_features = {step.embeddings.values, step.embeddings.norms,
                                all ? nullptr : round.detections.data(), step.embeddings.dim};
    }
    c.reach = reach.data();
    if (stage == Stage::appearance && dim_ == 0) {
        // Nothing is known of any track yet.
        std::fill(round.match.begin(), round.match.end(), -1);
        round.pairs.clear();
        for (size_t i = 0; i < count; ++i) round.pairs.end_row();
        return round;
    }
    ::sslmot::associate(c);
    return round;
}

void TrackTable::associate(Step& step) const {
    const Stage stage = step.described() ? Stage::appearance : Stage::motion;
    step.rounds.push_back(
        compare(step, stage, range(tracks_.size()), range(step.scores.size()), true));
    step.match = step.rounds.front().match;
    more_rounds(step);
    find_births(step);
}

void TrackTable::more_rounds(Step& step) const {
    // What is left may continue a track that was seen in the frame before.
    std::vector<int64_t> tracks, known, unknown;
    for (size_t i = 0; i < tracks_.size(); ++i)
        if (step.match[i] < 0 && tracks_.time_since_update[i] == 0)
            tracks.push_back(static_cast<int64_t>(i));
    if (tracks.empty()) return;
    std::vector<uint8_t> free = free_detections(step);
    if (std::count(free.begin(), free.end(), 1) == 0) return;

    const auto again = [&](Stage stage, const std::vector<int64_t>& some, auto allowed) {
        std::vector<int64_t> rows, others;
        for (const int64_t i : some)
            if (step.match[static_cast<size_t>(i)] < 0) rows.push_back(i);
        for (size_t j = 0; j < free.size(); ++j)
            if (free[j] && allowed(j)) others.push_back(static_cast<int64_t>(j));
        if (rows.empty() || others.empty()) return;
        Round round = compare(step, stage, std::move(rows), std::move(others), false);
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
        const bool seen = tracks_.feature_updates[i] > 0 && dim_ > 0 &&
                          norms_[static_cast<size_t>(tracks_.slots[i])] > 0.0F;
        (seen ? known : unknown).push_back(row);
    }
    // Motion alone decides where appearance says little: it is unknown, or the box is hidden.
    const auto rescue = [&](bool low) {
        if (!step.described() || !settings_.rescue) return;
        again(Stage::motion, unknown, [&](size_t j) { return step.low[j] == low; });
        again(Stage::motion, known,
              [&](size_t j) { return step.low[j] == low && !step.visible[j]; });
    };
    rescue(false);
    if (std::count(step.low.begin(), step.low.end(), 1) == 0) return;
    again(step.rounds.front().stage, tracks, [&](size_t j) { return step.low[j] != 0; });
    rescue(true);
}

void TrackTable::find_births(Step& step) const {
    const std::vector<uint8_t> free = free_detections(step);
    for (size_t j = 0; j < free.size(); ++j)
        if (free[j] && !step.low[j]) step.births.push_back(static_cast<int64_t>(j));
    if (step.births.empty() || settings_.birth_overlap >= 1.0F) return;
    std::vector<int64_t> known;
    for (size_t i = 0; i < tracks_.size(); ++i)
        if (step.match[i] >= 0 && tracks_.ids[i] > 0) known.push_back(step.match[i]);
    const auto boxes = take(step.boxes, step.births, 4), others = take(step.boxes, known, 4);
    const auto classes = take(step.classes, step.births), other_classes = take(step.classes, known);
    std::vector<float> overlap(step.births.size());
    find_overlaps({boxes.data(), classes.data(), static_cast<int64_t>(classes.size())},
                  {others.data(), other_classes.data(), static_cast<int64_t>(known.size())},
                  overlap.data());
    size_t kept = 0;
    for (size_t k = 0; k < step.births.size(); ++k)
        if (overlap[k] <= settings_.birth_overlap) step.births[kept++] = step.births[k];
    step.births.resize(kept);
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
    return std::min(count / (1.0F + count), settings_.delta);
}

std::vector<size_t> TrackTable::missing(const Step& step) const {
    std::vector<size_t> rows;
    for (size_t i = 0; i < lost_.size(); ++i)
        if (lost_.time_since_update[i] < settings_.memory) rows.push_back(i);
    for (size_t i = 0; i < tracks_.size(); ++i)
        if (step.match[i] < 0 && tracks_.ids[i] > 0 &&
            tracks_.time_since_update[i] < settings_.memory)
            rows.push_back(lost_.size() + i);
    return rows;
}

void TrackTable::preview_features(const Step& step, std::vector<float>& values,
                                  std::vector<float>& norms) const {
    const auto dim = static_cast<size_t>(step.described() ? step.embeddings.dim : dim_);
    values.assign(step.newcomers.size() * dim, 0.0F), norms.assign(step.newcomers.size(), 0.0F);
    for (size_t k = 0; k < step.newcomers.size(); ++k) {
        const Newcomer& newcomer = step.newcomers[k];
        float delta = 0.0F;
        bool taken = step.described();
        if (newcomer.track >= 0) {
            const auto i = static_cast<size_t>(newcomer.track);
            const auto slot = static_cast<size_t>(tracks_.slots[i]);
            if (dim_ > 0 && norms_[slot] > 0.0F) {
                std::copy_n(&features_[slot * dim], dim, &values[k * dim]);
                norms[k] = norms_[slot];
            }
            delta = share(tracks_.feature_updates[i]);
            taken = takes_feature(step, i, newcomer.detection);
        }
        if (!taken) continue;
        const auto row = static_cast<int64_t>(k);
        blend(values.data(), norms.data(), &row, step.embeddings.values, step.embeddings.norms,
              &newcomer.detection, &delta, 1, step.embeddings.dim);
    }
}

void TrackTable::identify(Step& step, bool features) const {
    const TrackSettings& s = settings_;
    for (size_t i = 0; i < tracks_.size(); ++i)
        if (tracks_.ids[i] == 0 && step.match[i] >= 0 && tracks_.hits[i] + 1 >= s.confirm)
            step.newcomers.push_back(
                {static_cast<int64_t>(i), step.match[i], 0, Stage::fresh, NAN});
    const size_t due = step.newcomers.size();
    for (const int64_t j : step.births)
        if (s.confirm == 0 || step.scores[static_cast<size_t>(j)] >= s.sure_score)
            step.newcomers.push_back({-1, j, 0, Stage::fresh, NAN});
    if (step.newcomers.empty() || !has_features(step)) return;
    std::vector<size_t> lost;
    if (dim_ > 0) lost = missing(step);
    if (lost.empty() && !features) return;
    preview_features(step, step.features, step.feature_norms);

    // Matches some newcomers with the missing, by their looks.
    const auto dim = step.described() ? step.embeddings.dim : dim_;
    const auto compare_lost = [&](size_t begin, size_t end, Candidates& pairs) {
        std::vector<float> boxes, reach, there;
        std::vector<int32_t> classes, their_classes, match(lost.size());
        std::vector<int64_t> slots, rows;
        for (const size_t at : lost) {
            const bool old = at < lost_.size();
            const TrackColumns& from = old ? lost_ : tracks_;
            const size_t i = old ? at : at - lost_.size();
            boxes.insert(boxes.end(), &from.boxes[4 * i], &from.boxes[4 * i] + 4);
            if (step.moved) move_box(step.camera, &boxes[boxes.size() - 4]);
            classes.push_back(from.classes[i]), slots.push_back(from.slots[i]);
            reach.push_back(static_cast<float>(
                static_cast<double>(s.appearance_reach) +
                s.walk * static_cast<double>(from.time_since_update[i] + 1)));
        }
        for (size_t k = begin; k < end; ++k) {
            const auto j = static_cast<size_t>(step.newcomers[k].detection);
            there.insert(there.end(), &step.boxes[4 * j], &step.boxes[4 * j] + 4);
            const int64_t row = step.newcomers[k].track;
            their_classes.push_back(row < 0 ? step.classes[j]
                                            : tracks_.classes[static_cast<size_t>(row)]);
            rows.push_back(static_cast<int64_t>(k));
        }
        const std::vector<float> least(lost.size(), s.lost_affinity);
        Comparison c{};
        c.tracks = {boxes.data(), classes.data(), static_cast<int64_t>(lost.size())};
        c.detections = {there.data(), their_classes.data(), static_cast<int64_t>(rows.size())};
        c.track_features = {features_.data(), norms_.data(), slots.data(), dim};
        c.detection_features = {step.features.data(), step.feature_norms.data(), rows.data(), dim};
        c.reach = reach.data(), c.min_affinity = least.data(), c.params = s.by_looks;
        c.pairs = &pairs, c.match = match.data();
        ::sslmot::associate(c);
        return match;
    };
    const auto id_of = [&](size_t at) {
        return at < lost_.size() ? lost_.ids[at] : tracks_.ids[at - lost_.size()];
    };
    Candidates pairs;
    const auto reidentify = [&](size_t begin, size_t end) {
        if (begin == end || lost.empty()) return;
        const std::vector<int32_t> match = compare_lost(begin, end, pairs);
        std::vector<size_t> left;
        for (size_t i = 0; i < lost.size(); ++i) {
            if (match[i] < 0) {
                left.push_back(lost[i]);
                continue;
            }
            Newcomer& found = step.newcomers[begin + static_cast<size_t>(match[i])];
            found.id = id_of(lost[i]), found.stage = Stage::reidentified;
            for (auto e = static_cast<size_t>(pairs.row_begin[i]);
                 e < static_cast<size_t>(pairs.row_begin[i + 1]); ++e)
                if (pairs.columns[e] == match[i]) found.affinity = 1.0F - pairs.values[e];
            step.ended.push_back(found.id);
        }
        lost.swap(left);
    };
    reidentify(0, due);
    if (s.confirm == 0) {
        reidentify(due, step.newcomers.size());
    } else if (due < step.newcomers.size() && !lost.empty()) {
        // A new detection that resembles a lost track waits for a second look.
        compare_lost(due, step.newcomers.size(), pairs);
        std::vector<uint8_t> resembles(step.newcomers.size(), 0);
        for (size_t e = 0; e < pairs.columns.size(); ++e)
            if (!(pairs.values[e] >= s.by_looks.gate))
                resembles[due + static_cast<size_t>(pairs.columns[e])] = 1;
        size_t kept = due;
        const auto width = static_cast<size_t>(dim);
        for (size_t k = due; k < step.newcomers.size(); ++k) {
            if (resembles[k]) continue;
            step.newcomers[kept] = step.newcomers[k];
            std::copy_n(&step.features[k * width], width, &step.features[kept * width]);
            step.feature_norms[kept++] = step.feature_norms[k];
        }
        step.newcomers.resize(kept);
        step.features.resize(kept * width), step.feature_norms.resize(kept);
    }
}

void TrackTable::name(Step& step, const int64_t* known, int64_t first_id) const {
    step.next_id = std::max(next_id_, first_id);
    for (size_t k = 0; k < step.newcomers.size(); ++k) {
        Newcomer& newcomer = step.newcomers[k];
        if (newcomer.id) continue;
        if (known && known[k]) {
            newcomer.id = known[k], newcomer.stage = Stage::gallery;
            step.ended.push_back(known[k]);  // it may be missing here
        } else {
            newcomer.id = step.next_id++;
        }
    }
}

void TrackTable::read_feature(int64_t slot, float* out) const {
    const auto dim = static_cast<size_t>(dim_), at = static_cast<size_t>(slot);
    std::fill_n(out, dim, 0.0F);
    if (dim_ > 0 && norms_[at] > 0.0F) std::copy_n(&features_[at * dim], dim, out);
}

void TrackTable::reserve_slots(size_t more) {
    if (free_slots_.size() < more) {
        // Twice as many, so that a growing crowd moves its features seldom.
        const size_t size = norms_.size();
        const size_t grown = std::max({size_t{64}, 2 * size, size + more - free_slots_.size()});
        free_slots_.reserve(grown);
        features_.reserve(grown * static_cast<size_t>(dim_));
        norms_.resize(grown, 0.0F);
        for (size_t slot = grown; slot-- > size;) free_slots_.push_back(static_cast<int64_t>(slot));
    }
    free_slots_.reserve(norms_.size());  // so that giving back cannot fail
    features_.resize(norms_.size() * static_cast<size_t>(dim_), 0.0F);
}

Report TrackTable::commit(Step& step) {
    const TrackSettings& s = settings_;
    if (step.version != version_)
        throw std::logic_error("step: expected one of this frame, got one of a frame before");
    const size_t n = step.scores.size(), count = tracks_.size(), numbers = state_numbers();

    // All that can fail comes first: memory.
    if (dim_ == 0 && step.described()) dim_ = step.embeddings.dim;
    reserve_slots(step.births.size());
    TrackColumns &next = spare_tracks_, &lost = spare_lost_;
    next.clear(), lost.clear();
    next.reserve(count + step.births.size(), numbers);
    lost.reserve(lost_.size() + count, numbers);
    std::vector<int64_t> freed, rows, columns, updated, shown, who(n, 0);
    std::vector<float> shares, moved_state = step.state, moved_boxes = tracks_.boxes;
    freed.reserve(count + lost_.size()), rows.reserve(count), columns.reserve(count);
    updated.reserve(count + n), shown.reserve(count + n), shares.reserve(count + n);
    Report report;
    report.ids.reserve(n), report.detections.reserve(n);
    step.ids = tracks_.ids;

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
        const float step_size = static_cast<float>(1.0 - static_cast<double>(s.delta));
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
    for (const Newcomer& some : step.newcomers)
        if (some.track >= 0) step.ids[static_cast<size_t>(some.track)] = some.id;

    for (size_t i = 0; i < lost_.size(); ++i) {
        const bool over = contains(step.ended, lost_.ids[i]);
        if (over || lost_.time_since_update[i] >= s.memory) {
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
        const bool over = j < 0 && id > 0 && contains(step.ended, id);
        const bool followed = !over && unseen <= (id > 0 ? s.patience : s.potential_patience);
        // A track that was seen but once is not remembered: false detections come like that.
        const bool kept = !followed && !over && id > 0 && has_features(step) &&
                          tracks_.hits[i] + (j >= 0) >= std::max<int64_t>(s.confirm, 1) &&
                          unseen <= s.memory;
        if (j >= 0 && takes_feature(step, i, j)) {
            updated.push_back(tracks_.slots[i]), shown.push_back(j);
            shares.push_back(share(tracks_.feature_updates[i]));
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
    // New tracks. A first box is known less well than later ones.
    const float twice = 2.0F * s.noise.measurement, first_var = twice * twice;
    const auto first_velocity_var = static_cast<float>(kFirstVelocity * kFirstVelocity);
    auto newcomer = step.newcomers.begin();
    for (const int64_t detection : step.births) {
        const auto j = static_cast<size_t>(detection);
        const int64_t slot = free_slots_.back();
        free_slots_.pop_back();
        const bool clear = step.described() && step.visible[j] && !step.low[j];
        next.ids.push_back(0), next.hits.push_back(0), next.time_since_update.push_back(0);
        next.feature_updates.push_back(clear), next.slots.push_back(slot);
        next.classes.push_back(step.classes[j]);
        next.boxes.insert(next.boxes.end(), &step.boxes[4 * j], &step.boxes[4 * j] + 4);
        float state[20] = {};
        to_centre(&step.boxes[4 * j], state);
        if (s.kalman) {
            const float square = state[3] * state[3];
            std::fill_n(state + 8, 4, first_var * square);
            std::fill_n(state + 16, 4, first_velocity_var * square);
        }
        next.state.insert(next.state.end(), state, state + numbers);
        norms_[static_cast<size_t>(slot)] = 0.0F;
        if (step.described())
            updated.push_back(slot), shown.push_back(detection), shares.push_back(0.0F);
        // Newcomers are in the order of births, after those that are tracks.
        while (newcomer != step.newcomers.end() &&
               (newcomer->track >= 0 || newcomer->detection < detection))
            ++newcomer;
        if (newcomer != step.newcomers.end() && newcomer->detection == detection)
            next.ids.back() = who[j] = newcomer->id;
    }
    for (size_t j = 0; j < n; ++j)
        if (who[j])
            report.ids.push_back(who[j]), report.detections.push_back(static_cast<int64_t>(j));

    // From here on nothing fails.
    blend(features_.data(), norms_.data(), updated.data(), step.embeddings.values,
          step.embeddings.norms, shown.data(), shares.data(), static_cast<int64_t>(updated.size()),
          dim_);
    for (const int64_t slot : freed) {
        norms_[static_cast<size_t>(slot)] = 0.0F;
        free_slots_.push_back(slot);
    }
    std::swap(tracks_, next), std::swap(lost_, lost);
    next_id_ = std::max(next_id_, step.next_id);
    ++version_;
    return report;
}

void TrackTable::reset() {
    tracks_.clear(), lost_.clear();
    features_.clear(), norms_.clear(), free_slots_.clear();
    dim_ = 0, next_id_ = 1;
    ++version_;
}

}  // namespace sslmot
