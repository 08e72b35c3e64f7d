// Where a track is expected, and what a detection tells of it: a Kalman filter with constant
// velocity of the centre; the size drifts. The four numbers of a box (cx, cy, w, h; pixels) are
// filtered apart (as in SORT and DeepSORT, whose noise is diagonal too), so a covariance is three
// numbers.
//
// A state is as of the track's last detection; the frames since are made up for when it is read.
#pragma once

#include <cstdint>

namespace sslmot {

// Standard deviations, as shares of a box's height: near and far people are treated alike.
struct MotionNoise {
    float value, velocity;  // of a centre, a frame
    float size;             // of width and height, a frame
    float measurement;
    float by_score;  // share of the measured variance that a score of 1 takes away, in [0, 1)
};

// (cx, cy, w, h) of a box of corners, and back.
void to_centre(const float* xyxy, float* box);
void to_corners(const float* box, float* xyxy);

// The state (5, 4) of a new track, whose first box is known less well than later ones.
void start(const float* xyxy, const MotionNoise& noise, float* state);

// state: (tracks, 5, 4): value, velocity, var(value), cov(value, velocity), var(velocity).
// time_since_update: (tracks), 0 or more, frames since the last detection, this one not counted.
// boxes: out, (tracks, 4) xyxy pixels.
void predict(const float* state, int64_t tracks, const int64_t* time_since_update, float* boxes);

// Detections taken in, in place: for i in 0..n, track rows[i] gets boxes[columns[i]].
struct Observations {
    const float* boxes;      // (detections, 4) xyxy pixels
    const float* scores;     // (detections)
    const int64_t* rows;     // (n)
    const int64_t* columns;  // (n)
    int64_t n;
};

// More frames without detection are taken as so many where a track is seen again: nothing is known
// of its place any more, and every frame takes time.
constexpr int64_t kMostUnseen = 100'000;

// last: (tracks, 4) xyxy pixels, the last detections, which become these. With `reupdate`, a track
// that was missed is taken along the straight line from there to the new detection, frame by frame,
// as if it had been seen (OC-SORT's observation-centric re-update).
void observe(float* state, float* last, const int64_t* time_since_update, const Observations& seen,
             const MotionNoise& noise, bool reupdate);

}  // namespace sslmot
