#include "cascade.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "overlap.h"

namespace sslmot {

namespace {

// The values of some rows.
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
    std::iota(all.begin(), all.end(), 0);
    return all;
}

// A median of fewer innovations would follow people.
constexpr size_t kFewestToFollow = 3;
// Of more tracks a part shows the camera as well.
constexpr size_t kMostToFollow = 128;

float median(std::vector<float>& values) {
    const auto half = static_cast<std::ptrdiff_t>(values.size() / 2);
    const auto middle = values.begin() + half;
    std::nth_element(values.begin(), middle, values.end());
    if (values.size() % 2) return *middle;
    return 0.5F * (*std::max_element(values.begin(), middle) + *middle);
}

// Of the pairs that were matched.
double total_cost(const Round& round) {
    double total = 0.0;
    for (size_t i = 0; i < round.match.size(); ++i)
        for (auto e = static_cast<size_t>(round.pairs.row_begin[i]);
             e < static_cast<size_t>(round.pairs.row_begin[i + 1]); ++e)
            if (round.pairs.columns[e] == round.match[i])
                total += static_cast<double>(round.pairs.values[e]);
    return total;
}

bool any(const std::vector<uint8_t>& flags) {
    return std::find(flags.begin(), flags.end(), 1) != flags.end();
}

// Evidence of this is sure: odds of 20 to 1. A match is sure if its evidence by place is, and no
// other pair of its track or its detection has any.
constexpr float kSure = 3.0F;
// So many sure matches tell a change of the picture from one of an object.
constexpr size_t kFewestToBlame = 3;
constexpr float kMostEvidence = 40.0F;  // whose exponentials add up without overflow

// A round, and the arrays that its comparison points to.
struct Job {
    Job() = default;
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;

    Round round;
    Comparison comparison{};
    std::vector<float> track_boxes, boxes, max_distance;
    std::vector<int32_t> track_classes, classes;
    std::vector<int64_t> slots;
    // By evidence: the costs of the pairs are its negative.
    bool by_evidence = false;
    bool low_score = false;  // whether the detections are low-score ones
    std::vector<ExpectedDetection> expected;
    ClipMotion clip;
    AppearanceEvidence appearance;
    std::vector<uint8_t> clear_tracks, clear_detections;  // flags of those with a clear feature
    // Of the pairs: cosines, NaN where a feature is not clear, and the evidence that they are.
    std::vector<float> cosines, looks;

    bool by_appearance() const { return round.cue == Cue::appearance; }
    // Whether features are compared.
    bool compares() const { return !by_evidence || by_appearance(); }
    void compare(const TrackTable& table, const Step& step) const {
        if (compares()) table.compare(comparison, step);
    }
    // Call visit(i, j, e) for each pair e, of track i and detection j.
    template <class Visit>
    void each_pair(const Visit& visit) const {
        for (size_t i = 0; i < round.tracks.size(); ++i)
            for (auto e = static_cast<size_t>(round.pairs.row_begin[i]);
                 e < static_cast<size_t>(round.pairs.row_begin[i + 1]); ++e)
                visit(i, static_cast<size_t>(round.pairs.columns[e]), e);
    }
    void weigh_appearance();
    void learn(Step& step) const;
    void distrust_changed_picture(Step& step);
    void match();
};

void Job::weigh_appearance() {
    if (!by_evidence || !by_appearance()) return;
    looks.assign(cosines.size(), 0.0F);
    each_pair([&](size_t i, size_t j, size_t e) {
        if (clear_tracks[i] && clear_detections[j])
            looks[e] = appearance(cosines[e]);
        else
            cosines[e] = NAN;
    });
}

// Take the cosines of the pairs, by the probability that they match: the expectation of EM, one
// step a frame. So weak features are learned too, with which few matches are sure. The tracks are
// those that were seen in the frame before.
void Job::learn(Step& step) const {
    if (!by_evidence || !by_appearance()) return;
    // The odds of each pair against a track without detection and a detection of something new.
    std::vector<float> odds(cosines.size()), of_track(round.tracks.size(), 0.0F),
        of_detection(round.detections.size(), 0.0F);
    each_pair([&](size_t i, size_t j, size_t e) {
        odds[e] = std::exp(std::min(looks[e] - round.pairs.values[e], kMostEvidence));
        of_track[i] += odds[e], of_detection[j] += odds[e];
    });
    each_pair([&](size_t i, size_t j, size_t e) {
        if (expected[i].returns == 1.0F && !std::isnan(cosines[e]))
            step.genuines.push_back(
                {cosines[e], odds[e] / (1.0F + of_track[i] + of_detection[j] - odds[e])});
    });
}

// Where most of the detections that surely match by place look unlike their track, and like no
// other, the picture has changed and not the objects: then appearance is no evidence in this frame.
void Job::distrust_changed_picture(Step& step) {
    if (!by_evidence || !by_appearance()) return;
    std::vector<int32_t> of_track(round.tracks.size(), 0), of_detection(round.detections.size(), 0);
    std::vector<uint8_t> like_some(round.detections.size(), 0);
    each_pair([&](size_t i, size_t j, size_t e) {
        if (round.pairs.values[e] < 0.0F) ++of_track[i], ++of_detection[j];
        if (looks[e] > 0.0F) like_some[j] = 1;
    });
    size_t sure = 0, unlike = 0;
    each_pair([&](size_t i, size_t j, size_t e) {
        if (round.pairs.values[e] < -kSure && of_track[i] == 1 && of_detection[j] == 1 &&
            expected[i].returns == 1.0F && !std::isnan(cosines[e]))
            ++sure, unlike += !like_some[j];
    });
    if (unlike < kFewestToBlame || 2 * unlike <= sure) return;
    step.picture_changed = true;
    std::fill(looks.begin(), looks.end(), 0.0F);
    std::fill(cosines.begin(), cosines.end(), NAN);
}

// Add the evidence of appearance to that of the place, keep the pairs that both are for, and match.
void Job::match() {
    if (!by_evidence) return;
    Candidates& pairs = round.pairs;
    if (by_appearance()) {
        size_t begin = 0, kept = 0;
        for (size_t i = 0; i < round.tracks.size(); ++i) {
            const auto end = static_cast<size_t>(pairs.row_begin[i + 1]);
            for (size_t e = begin; e < end; ++e) {
                const float value = pairs.values[e] - looks[e];
                pairs.columns[kept] = pairs.columns[e], pairs.values[kept] = value;
                cosines[kept] = cosines[e];
                kept += !(value >= 0.0F);
            }
            pairs.row_begin[i + 1] = static_cast<int32_t>(kept);
            begin = end;
        }
        pairs.columns.resize(kept), pairs.values.resize(kept), cosines.resize(kept);
        round.cosines = std::move(cosines);
    }
    match_by_evidence(comparison);
}

// Where the centres of matched tracks are, less where they were expected, pixels.
struct Innovations {
    size_t tracks = 0;  // that were seen in the frame before, matched or not
    std::vector<size_t> rows;
    std::vector<float> dx, dy;
};

// The association of one frame.
class Cascade {
  public:
    Cascade(const TrackTable& table, Step& step)
        : table_(table), tracks_(table.tracks()), settings_(table.settings()), step_(step) {}

    void begin_high_score_round(Job& job) const;
    void follow_camera(Job& job);
    void end_high_score_round(Job& job);
    void low_score_round();
    void find_new_tracks();

  private:
    Innovations innovations(const std::vector<int32_t>& match) const;
    bool clear_track(int64_t row) const;
    bool clear_detection(int64_t row) const;
    std::vector<int64_t> unlike(const std::vector<int64_t>& detections,
                                const std::vector<int64_t>& tracks) const;
    void probation_round(const std::vector<int64_t>& detections);
    void match_part(Job& job);
    Round match_again(const Job& job, double scale) const;
    void move_tracks(float dx, float dy);
    void set_costs(Job& job, bool whole_frame) const;
    void set_features(Job& job, bool whole_frame) const;
    void weigh(Job& job, bool whole_frame) const;

    const TrackTable& table_;
    const TrackColumns& tracks_;
    const TrackSettings& settings_;
    Step& step_;
    std::vector<uint8_t> unmatched_;  // (N) flags of detections
};

void Cascade::begin_high_score_round(Job& job) const {
    job.round.cue = step_.has_embeddings() ? Cue::appearance : Cue::motion;
    // After a pause no track is compared.
    job.round.tracks = range(step_.pause ? 0 : tracks_.size());
    job.round.detections = range(step_.scores.size());
    // All tracks and detections are compared in place, low-score detections excepted.
    job.track_classes = table_.compared(tracks_.classes);
    job.classes = table_.compared(step_.classes);
    for (size_t j = 0; j < job.classes.size(); ++j)
        if (step_.low_score[j]) job.classes[j] = kNoClass;
    // Tracks on probation take what all others leave.
    for (size_t i = 0; i < tracks_.size(); ++i)
        if (tracks_.probation[i] > 0.0) job.track_classes[i] = kNoClass;
    job.comparison.tracks = {step_.predicted.data(), job.track_classes.data(),
                             static_cast<int64_t>(job.round.tracks.size())};
    job.comparison.detections = {step_.boxes.data(), job.classes.data(), step_.count()};
    set_costs(job, true);
}

// What most of the matched tracks do alike is the camera's motion: all tracks are moved by it if
// they explain the detections better then, by more than the two numbers of a motion cost (BIC). By
// motion alone; a frame with features is matched without.
void Cascade::follow_camera(Job& job) {
    if (!job.by_evidence || job.by_appearance() || step_.pause) return;
    const Innovations near = innovations(job.round.match);
    // Steady people make the learned scale small, and a camera may still jerk: then few match.
    const bool far = job.clip.scale < 1.0 && 2 * near.dx.size() < near.tracks;
    Innovations seen = near;
    if (far) {
        try {
            seen = innovations(match_again(job, 1.0).match);
        } catch (const std::length_error&) {
            return;  // too dense a crowd to tell
        }
    }
    if (seen.dx.size() < kFewestToFollow) return;
    const double least = std::log(static_cast<double>(seen.dx.size()));
    const float dx = median(seen.dx), dy = median(seen.dy);
    if (!far && gain_of_moving(job.expected, near.rows, job.round.match, step_.boxes.data(),
                               job.clip.scale, dx, dy) <= least)
        return;
    for (ExpectedDetection& track : job.expected) track.value[0] += dx, track.value[1] += dy;
    Round moved = match_again(job, job.clip.scale);
    if (total_cost(moved) >= total_cost(job.round) - least) return;
    job.round = std::move(moved);
    move_tracks(dx, dy);
}

Innovations Cascade::innovations(const std::vector<int32_t>& match) const {
    Innovations all;
    const size_t every = (tracks_.size() + kMostToFollow - 1) / kMostToFollow;
    const size_t most = std::min(tracks_.size(), kMostToFollow);
    all.rows.reserve(most), all.dx.reserve(most), all.dy.reserve(most);
    for (size_t i = 0; i < tracks_.size(); i += every) {
        // A track's velocity is known from its second detection on.
        if (tracks_.time_since_update[i] > 0.0 || tracks_.hits[i] == 0) continue;
        if (tracks_.probation[i] > 0.0) continue;
        ++all.tracks;
        if (match[i] < 0) continue;
        all.rows.push_back(i);
        const float *was = &step_.predicted[4 * i],
                    *is = &step_.boxes[4 * static_cast<size_t>(match[i])];
        all.dx.push_back(0.5F * (is[0] - was[0] + is[2] - was[2]));
        all.dy.push_back(0.5F * (is[1] - was[1] + is[3] - was[3]));
    }
    return all;
}

Round Cascade::match_again(const Job& job, double scale) const {
    Round round;
    round.cue = job.round.cue;
    round.tracks = job.round.tracks, round.detections = job.round.detections;
    round.match.assign(round.tracks.size(), -1);
    Comparison comparison = job.comparison;
    comparison.pairs = &round.pairs, comparison.match = round.match.data();
    find_evidence(job.expected, scale, high_score_odds(job.clip), comparison, 0.0F);
    match_by_evidence(comparison);
    return round;
}

void Cascade::move_tracks(float dx, float dy) {
    const float shift[2] = {dx, dy};
    for (size_t i = 0; i < tracks_.size(); ++i)
        for (size_t k = 0; k < 2; ++k) {
            step_.state[20 * i + k] += shift[k];
            step_.predicted[4 * i + k] += shift[k], step_.predicted[4 * i + k + 2] += shift[k];
        }
}

void Cascade::end_high_score_round(Job& job) {
    step_.match = job.round.match;
    step_.match.resize(tracks_.size(), -1);
    step_.rounds.push_back(std::move(job.round));
    unmatched_.assign(step_.scores.size(), 1);
    for (const int32_t j : step_.match)
        if (j >= 0) unmatched_[static_cast<size_t>(j)] = 0;
}

// Match unmatched tracks with the low-score detections: by evidence all of them, otherwise those
// that were seen in the frame before.
void Cascade::low_score_round() {
    if (step_.pause || !any(step_.low_score)) return;
    Job job;
    job.low_score = true;
    Round& round = job.round;
    round.cue = step_.rounds.front().cue;
    for (size_t i = 0; i < tracks_.size(); ++i)
        if (step_.match[i] < 0 && tracks_.probation[i] <= 0.0 &&
            (settings_.kalman || tracks_.time_since_update[i] <= 0.0))
            round.tracks.push_back(static_cast<int64_t>(i));
    for (size_t j = 0; j < unmatched_.size(); ++j)
        if (step_.low_score[j]) round.detections.push_back(static_cast<int64_t>(j));
    match_part(job);
}

// Match the tracks on probation with detections that surely look unlike the track that they
// overlap. Those that are left start tracks on probation.
void Cascade::probation_round(const std::vector<int64_t>& detections) {
    Job job;
    job.round.cue = Cue::appearance;
    job.round.detections = detections;
    for (size_t i = 0; i < tracks_.size(); ++i)
        if (tracks_.probation[i] > 0.0) job.round.tracks.push_back(static_cast<int64_t>(i));
    try {
        match_part(job);
    } catch (const std::length_error&) {
        return;  // too dense a crowd to tell
    }
    for (const int64_t j : detections)
        if (unmatched_[static_cast<size_t>(j)]) step_.on_probation.push_back(j);
}

// Run a round of some tracks and some detections.
void Cascade::match_part(Job& job) {
    Round& round = job.round;
    if (round.tracks.empty()) return;
    job.track_boxes = take(step_.predicted, round.tracks, 4);
    job.track_classes = table_.compared(take(tracks_.classes, round.tracks));
    job.boxes = take(step_.boxes, round.detections, 4);
    job.classes = table_.compared(take(step_.classes, round.detections));
    job.comparison.tracks = {job.track_boxes.data(), job.track_classes.data(),
                             static_cast<int64_t>(round.tracks.size())};
    job.comparison.detections = {job.boxes.data(), job.classes.data(),
                                 static_cast<int64_t>(round.detections.size())};
    set_costs(job, false);
    job.compare(table_, step_);
    job.weigh_appearance();
    job.match();
    for (size_t i = 0; i < round.match.size(); ++i) {
        if (round.match[i] < 0) continue;
        const int64_t j = round.detections[static_cast<size_t>(round.match[i])];
        step_.match[static_cast<size_t>(round.tracks[i])] = static_cast<int32_t>(j);
        unmatched_[static_cast<size_t>(j)] = 0;
    }
    step_.rounds.push_back(std::move(round));
}

// Say what the pairs of a round cost, and where its results go.
void Cascade::set_costs(Job& job, bool whole_frame) const {
    Round& round = job.round;
    Comparison& c = job.comparison;
    const size_t count = round.tracks.size();
    round.match.assign(count, -1);
    c.pairs = &round.pairs, c.match = round.match.data();
    if (settings_.kalman) return weigh(job, whole_frame);
    const bool by_appearance = job.by_appearance();
    c.params = by_appearance ? settings_.by_both : settings_.by_motion;
    job.max_distance.assign(count, by_appearance ? INFINITY : settings_.by_motion.max_cost);
    c.max_distance = job.max_distance.data();
    if (by_appearance) set_features(job, whole_frame);
}

void Cascade::set_features(Job& job, bool whole_frame) const {
    const Round& round = job.round;
    job.slots.reserve(round.tracks.size());
    for (const int64_t row : round.tracks)
        job.slots.push_back(tracks_.slots[static_cast<size_t>(row)]);
    job.comparison.track_features = table_.features(step_, job.slots.data());
    job.comparison.detection_features = {step_.embeddings.values, step_.embeddings.norms,
                                         whole_frame ? nullptr : round.detections.data(),
                                         step_.embeddings.dim};
}

bool Cascade::clear_track(int64_t row) const {
    const auto i = static_cast<size_t>(row);
    return tracks_.feature_updates[i] > 0 && table_.has_feature(step_, tracks_.slots[i]);
}

bool Cascade::clear_detection(int64_t row) const {
    return step_.visible[static_cast<size_t>(row)] && !step_.picture_changed;
}

// Find the pairs that have evidence by place, or may have enough with that of appearance.
void Cascade::weigh(Job& job, bool whole_frame) const {
    const Round& round = job.round;
    job.by_evidence = true;
    job.expected = table_.expected(step_, round.tracks);
    job.clip = table_.clip();
    float slack = 0.0F;
    if (job.by_appearance()) {
        set_features(job, whole_frame);
        job.comparison.cosines = &job.cosines;
        job.appearance = table_.appearance();
        slack = job.appearance.most();
        for (const int64_t i : round.tracks) job.clear_tracks.push_back(clear_track(i));
        for (const int64_t j : round.detections) job.clear_detections.push_back(clear_detection(j));
    }
    const double odds = job.low_score ? low_score_odds(job.clip) : high_score_odds(job.clip);
    find_evidence(job.expected, job.clip.scale, odds, job.comparison, slack);
}

// Return those of some detections that surely look unlike a track each: tracks[k] for
// detections[k].
std::vector<int64_t> Cascade::unlike(const std::vector<int64_t>& detections,
                                     const std::vector<int64_t>& tracks) const {
    std::vector<int64_t> compared, slots;
    if (!settings_.kalman || !step_.has_embeddings()) return compared;
    for (size_t k = 0; k < detections.size(); ++k)
        if (clear_track(tracks[k]) && clear_detection(detections[k]))
            compared.push_back(detections[k]),
                slots.push_back(tracks_.slots[static_cast<size_t>(tracks[k])]);
    if (compared.empty()) return compared;
    const auto count = static_cast<int64_t>(compared.size());
    Candidates pairs;
    pairs.clear(count);
    for (int64_t k = 0; k < count; ++k)
        pairs.columns.push_back(static_cast<int32_t>(k)), pairs.end_row();
    std::vector<float> cosines;
    Comparison c{};
    c.tracks.count = count, c.detections.count = count;
    c.track_features = table_.features(step_, slots.data());
    c.detection_features = {step_.embeddings.values, step_.embeddings.norms, compared.data(),
                            step_.embeddings.dim};
    c.pairs = &pairs, c.cosines = &cosines;
    table_.compare(c, step_);
    const AppearanceEvidence evidence = table_.appearance();
    std::vector<int64_t> found;
    for (size_t k = 0; k < compared.size(); ++k)
        if (evidence(cosines[k]) < -kSure) found.push_back(compared[k]);
    return found;
}

// Unmatched high-score detections start tracks, those that overlap a confirmed track's detection
// none or one on probation.
void Cascade::find_new_tracks() {
    std::vector<int64_t>& found = step_.new_tracks;
    for (size_t j = 0; j < unmatched_.size(); ++j)
        if (unmatched_[j] && !step_.low_score[j]) found.push_back(static_cast<int64_t>(j));
    if (found.empty() || settings_.new_track_max_iou >= 1.0F) return;
    std::vector<int64_t> rows, confirmed;  // tracks, and their detections
    for (size_t i = 0; i < tracks_.size(); ++i)
        if (step_.match[i] >= 0 && tracks_.ids[i] > 0)
            rows.push_back(static_cast<int64_t>(i)), confirmed.push_back(step_.match[i]);
    const auto boxes = take(step_.boxes, found, 4), others = take(step_.boxes, confirmed, 4);
    const auto classes = table_.compared(take(step_.classes, found));
    const auto their_classes = table_.compared(take(step_.classes, confirmed));
    std::vector<float> overlap(found.size());
    std::vector<int32_t> other(found.size());
    find_overlaps({boxes.data(), classes.data(), static_cast<int64_t>(classes.size())},
                  {others.data(), their_classes.data(), static_cast<int64_t>(confirmed.size())},
                  overlap.data(), other.data());
    std::vector<int64_t> beside, beside_track;
    size_t kept = 0;
    for (size_t k = 0; k < found.size(); ++k)
        if (overlap[k] <= settings_.new_track_max_iou)
            found[kept++] = found[k];
        else
            beside.push_back(found[k]), beside_track.push_back(rows[static_cast<size_t>(other[k])]);
    found.resize(kept);
    if (!beside.empty()) probation_round(unlike(beside, beside_track));
}

// Run the first rounds: on CUDA as many as possible of one device and stream in one call, in the
// buffers of the first.
void compare_together(const std::vector<const TrackTable*>& tables, const std::vector<Step*>& steps,
                      const std::vector<Job>& jobs) {
    const auto on_device = [&](size_t k) {
        return steps[k]->device && jobs[k].compares() && jobs[k].comparison.track_features.dim > 0;
    };
    std::vector<uint8_t> done(tables.size(), 0);
    for (size_t k = 0; k < tables.size(); ++k) {
        if (done[k]) continue;
        if (!on_device(k)) {
            jobs[k].compare(*tables[k], *steps[k]);
            continue;
        }
        const CudaWork& work = steps[k]->device->work;
        std::vector<Comparison> together;
        int64_t bytes = 0;
        for (size_t m = k; m < tables.size(); ++m) {
            if (done[m] || !on_device(m)) continue;
            const Comparison& c = jobs[m].comparison;
            const CudaWork& other = steps[m]->device->work;
            const int64_t more = cuda_comparison_bytes(c.tracks.count, c.detections.count);
            // The first goes in any case: it must fit, or associate_cuda throws.
            if (m > k && (other.device_id != work.device_id || other.stream != work.stream ||
                          bytes + more > work.size))
                continue;
            together.push_back(c), bytes += more, done[m] = 1;
        }
        associate_cuda(together, work);
    }
}

}  // namespace

void associate_steps(const std::vector<const TrackTable*>& tables,
                     const std::vector<Step*>& steps) {
    std::vector<Cascade> cascades;
    std::vector<Job> jobs(tables.size());
    for (size_t k = 0; k < tables.size(); ++k) {
        tables[k]->expect_current(*steps[k], false);
        if (steps[k]->device) wait_cuda(steps[k]->device->work);
        cascades.emplace_back(*tables[k], *steps[k]);
        cascades[k].begin_high_score_round(jobs[k]);
    }
    compare_together(tables, steps, jobs);
    for (size_t k = 0; k < tables.size(); ++k) {
        jobs[k].weigh_appearance();
        jobs[k].learn(*steps[k]);
        jobs[k].distrust_changed_picture(*steps[k]);
        jobs[k].match();
        cascades[k].follow_camera(jobs[k]);
        cascades[k].end_high_score_round(jobs[k]);
        cascades[k].low_score_round();
        cascades[k].find_new_tracks();
        steps[k]->associated = true;
    }
}

}  // namespace sslmot
