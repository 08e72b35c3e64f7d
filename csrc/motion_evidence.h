// Whether a detection shows a track or something new, by its place, and what a tracker learns
// of a clip to tell it.
//
// A detection z of a track is distributed as Student's t with 4 degrees of freedom around the
// predicted (cx, cy, w, h), with the covariance S that the Kalman filter predicts; its tails are
// heavy, as people and cameras change their velocity suddenly. The evidence is
//     log( P p(z | track) r(t) / ((1 - P) new_density) )
// where P is the chance that a tracked object is detected in a frame. A low-score detection is
// compared with the density of low-score detections that show no track, and P is 1/2: a track that
// no high-score detection shows has a low-score one or none. r(t) = 1 for a track of the
// frame before. For one that was last seen t frames ago, counted in the seconds since the frame
// before, r(t) = 1 / (3 t): one in three comes back, and the longer it is away, the smaller the
// chance that it does in this very frame. A pair whose evidence, with that of its appearance, is
// not positive is more likely chance, and never matches. Densities are per height of the track, to
// the fourth power.
//
// Detectors take a truck for a car now and then. A class other than that of the track's last
// detection is evidence against the match; a class that stays says nothing, so that classes do not
// matter where there is one.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "associate.h"
#include "motion.h"

namespace sslmot {

// What is learned while tracking.
struct ClipMotion {
    // Candidates of the scale by which innovations differ from those that the filter predicts.
    static constexpr size_t kScales = 8;
    static constexpr double kLeastDensity = 1e-5;

    double scale = 1.0;        // factor of the standard deviation of a centre
    double new_density = 0.1;  // new tracks in a frame, per squared height
    double low_density = 0.1;  // low-score detections of no track in a frame, likewise
    double frames = 0.0;       // frames that the densities are the mean of
    // Log-likelihood of each candidate, by the innovations of matches; old ones fade.
    std::array<double, kScales> likelihood{};
};

// The detection that a track is expected to have.
struct ExpectedDetection {
    std::array<float, 4> value, per_var;  // cx, cy, w, h; 1 / their variances, before any scale
    float peak;                           // density at the value, before any scale
    float returns;                        // r(t)

    // state: (20), see motion.h. box: (4) xyxy pixels, where it is predicted. gap, elapsed: seconds
    // since the track's last detection, and since the frame before.
    ExpectedDetection(const float* state, const float* box, double gap, double elapsed,
                      const MotionNoise& noise);
};

// What the detections of a round are compared with: P / (1 - P) / density of those of no track.
double high_score_odds(const ClipMotion& clip);
double low_score_odds(const ClipMotion& clip);

// Find the pairs whose evidence, with that of their classes, is more than -slack. pairs.values gets
// its negative. scale: see ClipMotion.
void find_evidence(const std::vector<ExpectedDetection>& tracks, double scale, double odds,
                   const Comparison& comparison, float slack);

// Match by the pairs' evidence: their values are its negative, below 0.
void match_by_evidence(const Comparison& comparison);

// Return the gain in evidence of some matches if their tracks are moved by (dx, dy) pixels.
// rows: of tracks that have a detection. match: the detections of all tracks.
// boxes: (N, 4) xyxy pixels.
double gain_of_moving(const std::vector<ExpectedDetection>& tracks, const std::vector<size_t>& rows,
                      const std::vector<int32_t>& match, const float* boxes, double scale, float dx,
                      float dy);

// Learn the scale from matches: detection boxes[columns[k]] of tracks[k].
void learn_scale(const std::vector<ExpectedDetection>& tracks, const float* boxes,
                 const std::vector<int64_t>& columns, ClipMotion& clip);

// Learn the densities from a frame: `found` of its detections started tracks, and `low_found` of
// the low-score ones have none. boxes: (n, 4) xyxy pixels. low_score: (n) flags.
void learn_densities(const std::vector<float>& boxes, const std::vector<uint8_t>& low_score,
                     size_t found, size_t low_found, ClipMotion& clip);

}  // namespace sslmot
