// One frame on its way through a tracker: what each phase writes for the next (see track_table.h).
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "appearance_evidence.h"
#include "camera_motion.h"
#include "candidates.h"
#include "detections.h"
#include "device_features.h"

namespace sslmot {

// Largest id of a track: files of results hold ids below 2^31.
constexpr int64_t kLargestId = std::numeric_limits<int32_t>::max();

// The features of a frame's detections. `values` is null where there are none.
struct Embeddings {
    const float* values = nullptr;      // (N, dim), in host memory or on the device
    const float* norms = nullptr;       // (N), in the same memory
    const float* norms_here = nullptr;  // (N), in host memory
    int64_t dim = 0;
};

// What a round of association compares.
enum class Cue : int8_t { appearance, motion };  // appearance and motion, or motion alone

// One round of association.
struct Round {
    Cue cue;
    std::vector<int64_t> tracks, detections;  // rows of the table, and of the frame's detections
    std::vector<int32_t> match;  // of each of `tracks`: its position in `detections`, -1 for none
    Candidates pairs;            // by these positions: the pairs that could match, with their costs
    // Of the pairs, by evidence: NaN where appearance is no evidence; empty by motion alone.
    std::vector<float> cosines;
};

// Where the id of a confirmed track comes from.
enum class IdSource : int8_t { started, reidentified, gallery };

// A track that becomes confirmed in this frame.
struct Confirmation {
    int64_t track;  // row of the table, -1 for a detection that starts a track
    int64_t detection;
    int64_t id;  // 0 until it is assigned
    IdSource source;
    float affinity;  // to the lost track that was re-identified, NaN if none was
};

struct Step : Detections {
    // Inputs, beside the detections.
    Embeddings embeddings;
    const DeviceFeatures* device = nullptr;  // set where features are on CUDA
    std::optional<CameraMotion> camera;
    double elapsed = 0.0;  // seconds since the step before, above 0 for one that is associated
    bool pause = false;    // that is too long to predict: all tracks are lost

    // Written by prepare.
    uint64_t version = 0;                 // of the table, unique among all tables
    std::vector<double> gaps;             // (T) seconds since the last detection of each track
    std::vector<float> state, predicted;  // (T, numbers) moved with the camera; (T, 4) xyxy
    std::vector<uint8_t> low_score;       // (N) the score is below high_score
    std::vector<uint8_t> visible;         // (N) has a feature, and is not occluded

    // Written by associate_steps.
    bool associated = false;
    bool picture_changed = false;  // appearance is no evidence in this frame
    std::vector<Round> rounds;
    std::vector<int32_t> match;             // (T), the detection of each track, -1 for none
    std::vector<int64_t> new_tracks;        // detections that start tracks
    std::vector<int64_t> on_probation;      // detections that start tracks on probation
    std::vector<PossibleGenuine> genuines;  // to be learned from

    // Written by reidentify and assign_ids.
    std::vector<Confirmation> confirmations;  // tentative tracks first, then new tracks
    size_t tentative = 0;                     // how many confirmations are tentative tracks
    // (confirmation, id) of a new track that resembles a lost track. Its id is not assigned in this
    // frame: it stays tentative.
    std::vector<std::pair<size_t, int64_t>> reid_pending;
    std::unordered_set<int64_t> ended;  // ids that moved to another track: their old tracks end
    // Of each confirmation, as updated by this frame. On CUDA they are in the scratch instead.
    std::vector<float> features, feature_norms;
    int64_t next_id = 0;           // of the table after this frame
    std::vector<float> impostors;  // cosines of different objects, to be learned from

    // Written by commit.
    std::vector<int64_t> ids;  // (T), 0 for tentative tracks

    bool has_embeddings() const { return embeddings.values != nullptr; }
};

// The confirmed tracks with a detection in a frame, in the order of detections.
struct Report {
    std::vector<int64_t> ids, detections;
};

}  // namespace sslmot
