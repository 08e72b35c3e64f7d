#include "motion.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace sslmot {

namespace {

using Four = std::array<float, 4>;  // cx, cy, w, h

// Standard deviation of a new track's velocity, in box heights per frame.
constexpr float kFirstVelocity = 0.12F;

Four centre_of(const float* xyxy) {
    Four box;
    to_centre(xyxy, box.data());
    return box;
}

float square_height(const Four& value) {
    // A flat box is legal: this keeps its variances above zero, and is far below a pixel.
    return value[3] * value[3] + 1e-12F;
}

// A size at most halves in a frame, so that it stays positive.
float next_size(float size, float velocity) { return std::max(size + velocity, 0.5F * size); }

// A row of the state.
struct Filter {
    Four value, velocity, var, cov, velocity_var;

    void move(const MotionNoise& noise) {
        const float square = square_height(value);
        for (size_t k = 0; k < 4; ++k) {
            value[k] = k < 2 ? value[k] + velocity[k] : next_size(value[k], velocity[k]);
            var[k] += cov[k];
            cov[k] += velocity_var[k];
            const float drift = k < 2 ? noise.value : noise.size;
            var[k] += cov[k] + drift * drift * square;
            velocity_var[k] += noise.velocity * noise.velocity * square;
        }
    }

    void correct(const Four& seen, const MotionNoise& noise) {
        const float measured_var = noise.measurement * noise.measurement * square_height(value);
        for (size_t k = 0; k < 4; ++k) {
            const float per_total = 1.0F / (var[k] + measured_var);
            const float gain = var[k] * per_total, velocity_gain = cov[k] * per_total;
            const float error = seen[k] - value[k];
            value[k] += gain * error;
            velocity[k] += velocity_gain * error;
            velocity_var[k] -= velocity_gain * cov[k];
            var[k] *= 1.0F - gain;
            cov[k] *= 1.0F - gain;
        }
    }
};
static_assert(sizeof(Filter) == 20 * sizeof(float));

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
    Filter f{};
    to_centre(xyxy, f.value.data());
    const float square = f.value[3] * f.value[3], twice = 2.0F * noise.measurement;
    f.var.fill(twice * twice * square);
    f.velocity_var.fill(kFirstVelocity * kFirstVelocity * square);
    std::memcpy(state, &f, sizeof f);
}

void predict(const float* state, int64_t tracks, const int64_t* time_since_update, float* boxes) {
    for (int64_t i = 0; i < tracks; ++i) {
        const float *value = state + 20 * i, *velocity = value + 4;
        const auto frames = static_cast<float>(static_cast<double>(time_since_update[i]) + 1.0);
        const float cx = value[0] + frames * velocity[0], cy = value[1] + frames * velocity[1];
        const float w = next_size(value[2], velocity[2]), h = next_size(value[3], velocity[3]);
        float* box = boxes + 4 * i;
        box[0] = cx - 0.5F * w, box[1] = cy - 0.5F * h;
        box[2] = cx + 0.5F * w, box[3] = cy + 0.5F * h;
    }
}

void observe(float* state, const int64_t* time_since_update, const Observations& seen,
             const MotionNoise& noise) {
    for (int64_t i = 0; i < seen.n; ++i) {
        const int64_t row = seen.rows[i];
        Filter f;
        std::memcpy(&f, state + 20 * row, sizeof f);
        const int64_t frames = std::min(time_since_update[row], kMostUnseen) + 1;
        for (int64_t t = 1; t <= frames; ++t) {
            if (t == 2) f.velocity[2] = f.velocity[3] = 0.0F;
            f.move(noise);
        }
        f.correct(centre_of(seen.boxes + 4 * seen.columns[i]), noise);
        std::memcpy(state + 20 * row, &f, sizeof f);
    }
}

}  // namespace sslmot
