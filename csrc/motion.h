// The motion model: a Kalman filter with constant velocity of centre and size. The four numbers of
// a box (cx, cy, w, h; pixels) are filtered independently, as in SORT and DeepSORT, whose noise is
// diagonal too; so a covariance is three numbers.
//
// A state is that at the track's last detection. Reading it extrapolates over the seconds since.
#pragma once

#include <array>
#include <cstdint>

namespace sslmot {

// Standard deviations, as shares of a box's height: so they do not depend on the distance to the
// camera.
struct MotionNoise {
    float value;        // of the process: what a centre drifts in a second
    float velocity;     // of the process: what its velocity changes in a second, per second
    float size;         // of width and height, from one detection to the next, whenever that is
    float measurement;  // of a detection
};

// A row of the state: (5, 4) numbers. Velocities are per second.
struct MotionState {
    std::array<float, 4> value, velocity, var, cov, velocity_var;
};
static_assert(sizeof(MotionState) == 20 * sizeof(float));

// Convert (x1, y1, x2, y2) to (cx, cy, w, h), and back.
void to_centre(const float* xyxy, float* box);
void to_corners(const float* box, float* xyxy);

// Initialise the state (5, 4) of a new track. Its first box is less certain than later ones.
void start(const float* xyxy, const MotionNoise& noise, float* state);

// A longer gap counts as this many seconds: the position is unknown by then.
constexpr double kLongestGap = 3600.0;

// Predict a state `gap` seconds after the last detection: a centre has white-noise acceleration.
// A size changes during the first 1/30 s only, to no less than half.
MotionState predicted(const float* state, double gap, const MotionNoise& noise);

// Predict boxes. state: (tracks, 5, 4). gaps: (tracks) seconds since the last detection, 0 or more.
// boxes: out, (tracks, 4) xyxy pixels.
void predict(const float* state, int64_t tracks, const double* gaps, float* boxes);

// Detections of tracks: for i in 0..n, track rows[i] has boxes[columns[i]].
struct Observations {
    const float* boxes;      // (detections, 4) xyxy pixels
    const int64_t* rows;     // (n)
    const int64_t* columns;  // (n)
    int64_t n;
};

// Update states with detections, in place. gaps: as for predict.
void observe(float* state, const double* gaps, const Observations& seen, const MotionNoise& noise);

}  // namespace sslmot
