// What is kept of tracks between frames.
//
// A frame is a Step that goes through four phases:
//     prepare          (here)          predicts the tracks into the frame;
//     associate_steps  (cascade.h)     matches tracks with detections, finds the new tracks;
//     reidentify       (identities.h)  confirms tentative tracks, re-identifies lost tracks,
//                                      assigns ids;
//     commit           (here)          updates, starts and expires tracks.
// The first three write to the Step alone and may throw. commit changes the table only after
// everything that can throw. So a rejected or interrupted step changes nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "appearance_evidence.h"
#include "associate.h"
#include "device_features.h"
#include "impostors.h"
#include "motion.h"
#include "motion_evidence.h"
#include "pair.h"
#include "step.h"

namespace sslmot {

// The settings of a tracker; sslmot/tracking/config.py documents the fields.
struct TrackSettings {
    PairParams by_both;        // costs of appearance and motion (eq. 7)
    PairParams by_motion;      // of motion alone, where `kalman` is false
    PairParams by_appearance;  // of appearance alone: re-identification
    double reid_max_speed;
    float ema;
    float max_occlusion, high_score, new_track_max_iou, instant_confirm_score;
    int64_t min_hits;
    double max_age, tentative_max_age, reid_max_age;
    double reid_false_alarms;
    bool kalman;  // false: a box stays in place, and moves 1 - ema of the way to each match
    MotionNoise noise;
    bool class_agnostic;
};

// Whether an age in seconds is within its limit. Ages are sums of the times between frames, which
// are rounded.
inline bool within(double age, double limit) { return age <= limit + 1e-6; }

// A detection that overlaps a confirmed track, and surely looks like another object, starts a track
// on probation: it can be confirmed once it was seen like that for so many seconds. Detectors find
// some objects twice, but seldom for long with different looks.
constexpr double kProbation = 1.0;

// One row per track, oldest first.
struct TrackColumns {
    std::vector<int64_t> ids;               // 0 while a track is tentative
    std::vector<int64_t> hits;              // matched detections after the first
    std::vector<double> time_since_update;  // seconds from the last detection to the last frame
    std::vector<double> probation;          // seconds that are left of it
    std::vector<int64_t> feature_updates;   // detections that updated the feature
    std::vector<int64_t> slots;             // row of the feature table, fixed for a track's life
    std::vector<int32_t> classes;           // of the last detection
    std::vector<float> boxes;               // (T, 4) xyxy pixels, of the last detection
    std::vector<float> state;               // (T, numbers) of the motion model

    size_t size() const { return ids.size(); }
    void clear();
    void reserve(size_t tracks, size_t numbers);
    // Append row i of another table; `numbers` is the width of `state`.
    void append(const TrackColumns& from, size_t i, size_t numbers);
};

class TrackTable {
  public:
    explicit TrackTable(const TrackSettings& settings);

    // Predict the tracks into the frame. The inputs of the step are set.
    void prepare(Step& step) const;
    // Predict boxes (T, 4) xyxy, `elapsed` seconds after the last step.
    std::vector<float> predict(double elapsed) const;
    // Update, start and expire tracks. Throws std::logic_error for a step of another frame,
    // std::bad_alloc; nothing has changed then.
    Report commit(Step& step);

    void reset();
    // Replace all tracks. Slots are given anew: those of `tracks` first, then those of `lost`.
    // features: (slots, dim), norms: (slots), 0 or 1. Throws std::bad_alloc; nothing has changed
    // then.
    void restore(TrackColumns tracks, TrackColumns lost, std::vector<float> features,
                 std::vector<float> norms, int64_t dim, int64_t next_id,
                 const Impostors::Counts& impostors, const Genuines& genuines,
                 const ClipMotion& clip);

    // Throw std::logic_error for a step of another frame or table, or one that is not associated
    // (with `associated` false: one that is).
    void expect_current(const Step& step, bool associated) const;

    const TrackSettings& settings() const { return settings_; }
    const TrackColumns& tracks() const { return tracks_; }
    const TrackColumns& lost() const { return lost_; }
    int64_t next_id() const { return next_id_; }
    const Impostors& impostors() const { return impostors_; }
    const Genuines& genuines() const { return genuines_; }
    const ClipMotion& clip() const { return clip_; }
    // What the cosine of a track and a detection says.
    AppearanceEvidence appearance() const { return {genuines_, impostors_}; }
    size_t state_numbers() const { return settings_.kalman ? 20 : 4; }  // width of `state`

    // Classes as they are compared: all alike where they are ignored.
    std::vector<int32_t> compared(std::vector<int32_t> classes) const;

    // Width of the features, 0 before the first.
    int64_t feature_dim() const { return dim_; }
    bool has_features(const Step& step) const { return dim_ > 0 || step.has_embeddings(); }
    bool has_feature(const Step& step, int64_t slot) const;
    // The features of `slots`, or of all slots (null), in the memory where the step compares them.
    FeatureSet features(const Step& step, const int64_t* slots) const;
    // Copy the feature of a slot to host memory: `dim` numbers, zeros where it has none.
    void read_feature(int64_t slot, float* out) const;
    // Number of slots after `more` tracks have started.
    size_t slots_with(size_t more) const;
    // Whether a detection updates the feature of its track.
    bool updates_feature(const Step& step, size_t track, int64_t detection) const;
    // Weight of the old feature in an update.
    float old_feature_weight(size_t track) const;
    // Seconds of probation that a track has left after a step.
    double probation_after(const Step& step, size_t track) const;
    // Where tracks are expected in the frame of a step. Needs `kalman`.
    std::vector<ExpectedDetection> expected(const Step& step,
                                            const std::vector<int64_t>& rows) const;
    // Run a comparison where the features are: on the CPU or on CUDA.
    void compare(const Comparison& comparison, const Step& step) const;

  private:
    struct Next;  // the table after a step

    std::vector<double> gaps_after(double elapsed) const;
    std::vector<float> boxes_of(const std::vector<float>& state,
                                const std::vector<double>& gaps) const;

    // The parts of commit. They write to `next` alone.
    std::vector<int64_t> assigned_ids(const Step& step) const;
    ClipMotion learned_clip(const Step& step) const;
    void update_motion(const Step& step, Next& next) const;
    void keep_lost_tracks(const Step& step, Next& next) const;
    void keep_tracks(const Step& step, Next& next) const;
    void start_tracks(const Step& step, Next& next) const;
    void start_track(const Step& step, int64_t detection, int64_t id, double probation,
                     Next& next) const;
    enum class Fate { tracked, lost, expired };
    Fate fate_of(const Step& step, size_t track) const;
    void reserve_slots(size_t more, int64_t dim);

    TrackSettings settings_;
    uint64_t version_;
    TrackColumns tracks_;  // tentative and confirmed
    TrackColumns lost_;    // confirmed tracks older than max_age, kept for re-identification
    int64_t next_id_ = 1;
    Impostors impostors_;
    Genuines genuines_;
    ClipMotion clip_;
    // The feature table in host memory: rows of unit length, or of norm 0 without a feature.
    int64_t dim_ = 0;
    std::vector<float> features_, norms_;
    std::vector<int64_t> free_slots_;
    // The columns of the frame before, kept for their memory.
    TrackColumns spare_tracks_, spare_lost_;
};

}  // namespace sslmot
