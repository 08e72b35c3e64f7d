#include "motion.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace sslmot {

namespace {

using Four = std::array<float, 4>;  // cx, cy, w, h

// Standard deviation of a new track's velocity, in box heights per second.
constexpr float kFirstVelocity = 1.8F;
// A size changes for this many seconds after a detection: longer, its velocity says nothing.
constexpr double kGrowth = 1.0 / 30.0;

Four centre_of(const float* xyxy) {
    Four box;
    to_centre(xyxy, box.data());
    return box;
}

float square_height(const Four& value) {
    // A flat box is legal: this keeps its variances above zero, and is far below a pixel.
    return value[3] * value[3] + 1e-12F;
}

// The seconds that the centres and the sizes of a box move in a gap.
std::array<float, 4> moving(double gap) {
    const auto centre = static_cast<float>(std::min(gap, kLongestGap));
    const auto size = static_cast<float>(std::min(gap, kGrowth));
    return {centre, centre, size, size};
}

Four extrapolate(const float* value, const float* velocity, const std::array<float, 4>& seconds) {
    Four moved;
    for (size_t k = 0; k < 4; ++k) moved[k] = value[k] + seconds[k] * velocity[k];
    // A size at most halves, so that it stays positive.
    for (size_t k = 2; k < 4; ++k) moved[k] = std::max(moved[k], 0.5F * value[k]);
    return moved;
}

void correct(MotionState& s, const Four& seen, const MotionNoise& noise) {
    const float measured_var = noise.measurement * noise.measurement * square_height(s.value);
    for (size_t k = 0; k < 4; ++k) {
        const float per_total = 1.0F / (s.var[k] + measured_var);
        const float gain = s.var[k] * per_total, velocity_gain = s.cov[k] * per_total;
        const float error = seen[k] - s.value[k];
        s.value[k] += gain * error;
        s.velocity[k] += velocity_gain * error;
        s.velocity_var[k] -= velocity_gain * s.cov[k];
        s.var[k] *= 1.0F - gain;
        s.cov[k] *= 1.0F - gain;
    }
}

}  // namespace

void to_centre(const float* xyxy, float* box) {
    box[0] = 0.5F * (xyxy[0] + xyxy[2]);
    box[1] = 0.5F * (xyxy[1] + xyxy[3]);
    box[2] = xyxy[2] - xyxy[0];
    box[3] = xyxy[3] - xyxy[1];
}

void to_corners(const float* box, float* xyxy) {
    xyxy[0] = box[0] - 0.5F * box[2];
    xyxy[1] = box[1] - 0.5F * box[3];
    xyxy[2] = box[0] + 0.5F * box[2];
    xyxy[3] = box[1] + 0.5F * box[3];
}

void start(const float* xyxy, const MotionNoise& noise, float* state) {
    MotionState s{};
    to_centre(xyxy, s.value.data());
    const float square = s.value[3] * s.value[3], twice = 2.0F * noise.measurement;
    s.var.fill(twice * twice * square);
    s.velocity_var.fill(kFirstVelocity * kFirstVelocity * square);
    std::memcpy(state, &s, sizeof s);
}

MotionState predicted(const float* state, double gap, const MotionNoise& noise) {
    MotionState s;
    std::memcpy(&s, state, sizeof s);
    const float square = square_height(s.value);
    const float turn = noise.velocity * noise.velocity * square;
    const std::array<float, 4> seconds = moving(gap);
    s.value = extrapolate(s.value.data(), s.velocity.data(), seconds);
    for (size_t k = 0; k < 4; ++k) {
        const float t = seconds[k];
        const float drift = k < 2 ? t * noise.value * noise.value : noise.size * noise.size;
        s.var[k] += t * (2.0F * s.cov[k] + t * (s.velocity_var[k] + t * turn / 3.0F));
        s.var[k] += drift * square;
        s.cov[k] += t * (s.velocity_var[k] + 0.5F * t * turn);
        s.velocity_var[k] += t * turn;
    }
    return s;
}

void predict(const float* state, int64_t tracks, const double* gaps, float* boxes) {
    for (int64_t i = 0; i < tracks; ++i) {
        const float* value = state + 20 * i;
        to_corners(extrapolate(value, value + 4, moving(gaps[i])).data(), boxes + 4 * i);
    }
}

void observe(float* state, const double* gaps, const Observations& seen, const MotionNoise& noise) {
    for (int64_t i = 0; i < seen.n; ++i) {
        const int64_t row = seen.rows[i];
        MotionState s = predicted(state + 20 * row, gaps[row], noise);
        correct(s, centre_of(seen.boxes + 4 * seen.columns[i]), noise);
        std::memcpy(state + 20 * row, &s, sizeof s);
    }
}

}  // namespace sslmot
