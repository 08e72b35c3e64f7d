// All that is kept of tracks between frames, and its verbs: prepare, associate, reidentify, commit.
//
// A step goes through all four. The first three write to the Step alone and may throw; commit
// writes to the table and cannot be cut in half. So a refused or interrupted step changes nothing.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "associate.h"
#include "candidates.h"
#include "device_features.h"
#include "motion.h"
#include "pair.h"

namespace sslmot {

// The settings of a tracker; docs of the fields: sslmot/tracking/config.py.
struct TrackSettings {
    PairParams by_both;        // costs of appearance and motion (eq. 7)
    PairParams by_motion;      // of motion alone
    PairParams by_appearance;  // of appearance alone: re-identification
    float min_affinity, lost_affinity;
    float appearance_max_distance, motion_max_distance;
    double reid_max_speed;
    bool motion_fallback;
    float ema;
    float max_occlusion, high_score, new_track_max_iou, instant_confirm_score;
    int64_t min_hits, max_age, tentative_max_age, reid_max_age;
    bool kalman;  // else a box stays, and moves 1 - ema of the way to each match
    MotionNoise noise;
    bool reupdate;
};

// One row a track, oldest first.
struct TrackColumns {
    std::vector<int64_t> ids;                // 0 while a track is tentative
    std::vector<int64_t> hits;               // detections matched since the first
    std::vector<int64_t> time_since_update;  // frames since the last detection
    std::vector<int64_t> feature_updates;    // how often its feature was taken in
    std::vector<int64_t> slots;              // row of the feature table; a track keeps it for life
    std::vector<int32_t> classes;
    std::vector<float> boxes;  // (T, 4) xyxy pixels, of the last detection
    std::vector<float> state;  // (T, kState) of the motion model

    size_t size() const { return ids.size(); }
    void clear();
    void reserve(size_t tracks, size_t numbers);
    // A copy of row i of another table; `numbers` are those of a track's state.
    void append(const TrackColumns& from, size_t i, size_t numbers);
};

// Features of the detections of a frame; no values where there are none.
struct Embeddings {
    const float* values = nullptr;      // (N, dim), in host memory or on the device
    const float* norms = nullptr;       // (N), beside them
    const float* norms_here = nullptr;  // (N), in host memory
    int64_t dim = 0;
};

// How the picture moved since the frame before, from its pixels to those of this one.
struct CameraMotion {
    float linear[2][2];
    float shift[2];
    float zoom;
};

// How a detection got its identity.
enum class Stage : int8_t { appearance, motion, started, reidentified, gallery };

// One matching of a frame, by positions in `tracks` and `detections`.
struct Round {
    Stage stage;  // appearance (and motion), or motion alone
    std::vector<int64_t> tracks, detections;
    std::vector<int32_t> match;
    Candidates pairs;  // what it chose from, at their costs
};

// A track that gets its identity in this frame.
struct Confirmation {
    int64_t track;  // row of the table, -1 for a detection that starts one
    int64_t detection;
    int64_t id;  // 0 until it has one
    Stage stage;
    float affinity;  // to the lost track that it is, NaN where it is none
};

// One frame on its way through a tracker.
struct Step {
    // From prepare.
    uint64_t version = 0;  // of the table that it was prepared for; no two tables share one
    bool associated = false;
    std::vector<float> boxes, scores;  // (N, 4) xyxy pixels, (N)
    std::vector<int32_t> classes;
    Embeddings embeddings;
    const DeviceFeatures* device = nullptr;  // where features are, if not in host memory
    bool moved = false;
    CameraMotion camera{};
    std::vector<float> state, predicted;  // (T, kState) moved with the camera, (T, 4)
    std::vector<uint8_t> low;             // (N) scores too low to start a track
    std::vector<uint8_t> visible;         // (N) the feature is known, and not of something in front
    // From associate.
    std::vector<Round> rounds;
    std::vector<int32_t> match;       // (T), the detection of each track, -1 for none
    std::vector<int64_t> new_tracks;  // detections that start tracks
    // From reidentify.
    std::vector<Confirmation>
        confirmations;     // tentative tracks first, then detections that start tracks
    size_t tentative = 0;  // how many of them are tracks
    // Newcomers and the ids of lost tracks that they resemble: they wait for a second look.
    std::vector<std::pair<size_t, int64_t>> reid_pending;
    std::vector<int64_t> ended;  // ids whose old tracks end, since another track has them now
    // Of confirmations, as they will be after this frame; on a device they are in its scratch.
    std::vector<float> features, feature_norms;
    int64_t next_id = 0;  // after this frame
    // From commit.
    std::vector<int64_t> ids;  // (T), of the tracks in this frame

    int64_t detections() const { return static_cast<int64_t>(scores.size()); }
    bool described() const { return embeddings.values != nullptr; }
    BoxSet detection_set() const { return {boxes.data(), classes.data(), detections()}; }
};

// The confirmed tracks that have a detection in a frame, in the order of detections.
struct Report {
    std::vector<int64_t> ids, detections;
};

class TrackTable {
  public:
    explicit TrackTable(const TrackSettings& settings);

    // Predicts the tracks into a frame whose boxes, scores, classes, embeddings and camera motion
    // stand in the step.
    void prepare(Step& step) const;
    // Runs the rounds of matching, and finds the detections that start tracks. Throws
    // std::invalid_argument where a cost is NaN, std::length_error where too many pairs are near.
    // The first rounds of several cameras whose features are on one device are one comparison.
    static void associate(const std::vector<const TrackTable*>& tables,
                          const std::vector<Step*>& steps);
    // Finds the tracks that get their identity in this frame, and those that are lost tracks seen
    // again. With `features` those of the others are left in the step for a gallery.
    void reidentify(Step& step, bool features) const;
    // The confirmations that have no identity yet: tentative tracks, or detections that start
    // tracks.
    std::vector<size_t> without_id(const Step& step, bool new_tracks) const;
    // Gives them identities: those that a gallery knows them by (in their order, 0 for none; null
    // without a gallery), new ones from `first_id` on for the rest. Tentative tracks come first.
    void name(Step& step, bool new_tracks, const int64_t* known, int64_t first_id) const;
    // Takes the step in. Throws std::logic_error for a step that was prepared before another one
    // was taken in, std::bad_alloc; nothing has changed then.
    Report commit(Step& step);

    void reset();
    // Takes the place of all tracks, of one feature each (features.size() is that of both columns
    // times dim; norms are 0 or 1; slots are given anew: those of tracks first, then those of
    // lost). Throws std::bad_alloc; nothing has changed then.
    void restore(TrackColumns tracks, TrackColumns lost, std::vector<float> features,
                 std::vector<float> norms, int64_t dim, int64_t next_id);

    // Throws std::logic_error for a step of another frame or table, or one that is not associated
    // (or, with `associated` false, one that is).
    void expect_current(const Step& step, bool associated) const;

    size_t size() const { return tracks_.size(); }
    int64_t next_id() const { return next_id_; }
    int64_t feature_dim() const { return dim_; }
    // Slots of the feature table once `more` tracks have started.
    size_t slots_with(size_t more) const;
    const TrackColumns& tracks() const { return tracks_; }
    const TrackColumns& lost() const { return lost_; }
    // Numbers of a track's state.
    size_t state_numbers() const { return settings_.kalman ? 20 : 4; }
    // The feature of a slot: `dim` numbers, zeros where nothing is known.
    void read_feature(int64_t slot, float* out) const;

  private:
    // The tracks with an identity that this frame leaves without a detection, the longest lost
    // first: rows of lost_, then of tracks_ (counted on).
    std::vector<size_t> lost_tracks(const Step& step) const;
    // A round to be matched, and what its comparison points to.
    struct Job {
        Round round;
        Comparison comparison{};
        std::vector<float> track_boxes, boxes, max_distance, min_affinity;
        std::vector<int32_t> track_classes, classes;
        std::vector<int64_t> slots;
    };
    void compare(Job& job, const Step& step, bool all) const;
    void first_round(Job& job, const Step& step) const;
    bool known(const Step& step, int64_t slot) const;
    void more_rounds(Step& step) const;
    void find_new_tracks(Step& step) const;
    void preview_features(Step& step) const;
    // The lost_tracks (some rows as from lost_tracks) and some confirmations, matched by their
    // looks.
    std::vector<int32_t> compare_lost(const Step& step, const std::vector<size_t>& lost,
                                      size_t begin, size_t end, Candidates& pairs) const;
    // The same; where too many are near, those that were seen last alone: `lost` is cut down.
    std::vector<int32_t> compare_most_lost(const Step& step, std::vector<size_t>& lost,
                                           size_t begin, size_t end, Candidates& pairs) const;
    bool takes_feature(const Step& step, size_t track, int64_t detection) const;
    float share(int64_t updates) const;
    bool has_features(const Step& step) const { return dim_ > 0 || step.described(); }
    void reserve_slots(size_t more, int64_t dim);
    FeatureSet table_features(const Step& step, const int64_t* slots) const;
    void run(const Comparison& comparison, const Step& step) const;

    TrackSettings settings_;
    uint64_t version_;
    TrackColumns tracks_, lost_;
    int64_t next_id_ = 1;
    // The feature table: slots of unit length, or of norm 0 where nothing is known.
    int64_t dim_ = 0;
    std::vector<float> features_, norms_;
    std::vector<int64_t> free_slots_;
    // Columns of the frame before, kept for their memory.
    TrackColumns spare_tracks_, spare_lost_;
};

}  // namespace sslmot
