// The motion model: a Kalman filter with constant velocity of centre and size. The four numbers of
// a box (cx, cy, w, h; pixels) are filtered independently, as in SORT and DeepSORT, whose noise is
// diagonal too; so a covariance is three numbers.
//
// A state is that at the track's last detection. Reading it extrapolates over the frames since.
#pragma once

#include <cstdint>

namespace sslmot {

// Standard deviations, as shares of a box's height: so they do not depend on the distance to the
// camera.
struct MotionNoise {
    float value, velocity;  // of the process, per frame; `value` of a centre
    float size;             // in place of `value`, of width and height
    float measurement;
};

// Convert (x1, y1, x2, y2) to (cx, cy, w, h), and back.
void to_centre(const float* xyxy, float* box);
void to_corners(const float* box, float* xyxy);

// Initialise the state (5, 4) of a new track. Its first box is less certain than later ones.
void start(const float* xyxy, const MotionNoise& noise, float* state);

// Predict boxes into this frame.
// state: (tracks, 5, 4): value, velocity, var(value), cov(value, velocity), var(velocity).
// time_since_update: (tracks), 0 or more, frames since the last detection, without this one.
// boxes: out, (tracks, 4) xyxy pixels. A size changes in the first frame only, to no less than
// half.
void predict(const float* state, int64_t tracks, const int64_t* time_since_update, float* boxes);

// Detections of tracks: for i in 0..n, track rows[i] has boxes[columns[i]].
struct Observations {
    const float* boxes;      // (detections, 4) xyxy pixels
    const int64_t* rows;     // (n)
    const int64_t* columns;  // (n)
    int64_t n;
};

// A longer gap before a detection counts as this many frames: the position is unknown by then, and
// every frame takes time.
constexpr int64_t kMostUnseen = 100'000;

// Update states with detections, in place.
void observe(float* state, const int64_t* time_since_update, const Observations& seen,
             const MotionNoise& noise);

}  // namespace sslmot
