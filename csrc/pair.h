// The cost of one (track, detection) pair: SSL-MOT, eq. 6 and 7. Written once, for host and device.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "host_device.h"

namespace sslmot {

struct PairParams {
    float tau;                // temperature of the affinity
    float min_affinity;       // rho_1: pairs below can never match
    float appearance_weight;  // alpha
    float motion_weight;      // beta
    float max_cost;           // pairs that cost this much or more never match
};

// Limits that every pair of a track must meet to match.
struct TrackLimits {
    float max_distance;  // pairs farther apart can never match
    float min_affinity;  // rho_1, of this track
};

// The limits of track i. Without arrays there is no distance limit, and min_affinity is that of
// `p`.
SSLMOT_HOST_DEVICE inline TrackLimits track_limits(const float* max_distance,
                                                   const float* min_affinity, int64_t i,
                                                   const PairParams& p) {
    return {max_distance ? max_distance[i] : INFINITY,
            min_affinity ? min_affinity[i] : p.min_affinity};
}

// Largest norm of a feature: the product of two stays within float32. A larger one is an input
// error.
constexpr float kLargestNorm = 1e18F;
// A feature with a smaller norm counts as unknown.
constexpr float kSmallestNorm = 1e-12F;
// So does a mean of two unit features with a smaller norm: they were opposite, but for rounding.
constexpr float kSmallestMix = 1e-6F;

struct Box {
    float cx, cy, w, h;  // pixels
    float per_w, per_h;  // 1 / w, 1 / h
};

SSLMOT_HOST_DEVICE inline Box make_box(const float* xyxy) {
    // A box without width or height is legal: it gets a size that keeps every ratio finite.
    constexpr float smallest = 1e-6F;
    const float width = xyxy[2] - xyxy[0];
    const float height = xyxy[3] - xyxy[1];
    const float w = width < smallest ? smallest : width;
    const float h = height < smallest ? smallest : height;
    return {0.5F * (xyxy[0] + xyxy[2]), 0.5F * (xyxy[1] + xyxy[3]), w, h, 1.0F / w, 1.0F / h};
}

// Dot product and norms -> cosine, capped at 1 against rounding. Minus infinity if either feature
// is unknown, which never matches; NaN if either norm is NaN or too large.
SSLMOT_HOST_DEVICE inline float cosine(float dot, float track_norm, float detection_norm) {
    if (!(track_norm <= kLargestNorm && detection_norm <= kLargestNorm)) return NAN;
    if (track_norm < kSmallestNorm || detection_norm < kSmallestNorm) return -INFINITY;
    const float c = dot / (track_norm * detection_norm);
    return 1.0F < c ? 1.0F : c;
}

// e^x for x <= 0, to two units in the last place. In plain arithmetic, so that a loop over pairs
// can be vectorised, which a call would prevent. For x below -87 it is e^-87, nearly 0; NaN for
// NaN.
SSLMOT_HOST_DEVICE inline float exp_negative(float x) {
    // x = n ln 2 + r with |r| <= ln 2 / 2; a float32 near 1.5 * 2^23 has no room for a fraction.
    constexpr float rounder = 12582912.0F, log2_e = 1.44269504F;
    constexpr float ln2_high = 0.693359375F, ln2_low = -2.12194440e-4F;  // n * ln2_high is exact
    const float y = x < -87.0F ? -87.0F : x;
    const float shifted = y * log2_e + rounder;
    const float n = shifted - rounder;
    const float r = (y - n * ln2_high) - n * ln2_low;
    float sum = 1.0F / 5040.0F;  // Taylor: the next term is below 6e-9
    sum = sum * r + 1.0F / 720.0F;
    sum = sum * r + 1.0F / 120.0F;
    sum = sum * r + 1.0F / 24.0F;
    sum = sum * r + 1.0F / 6.0F;
    sum = sum * r + 0.5F;
    sum = sum * r + 1.0F;
    sum = sum * r + 1.0F;
    int32_t bits;  // of `shifted`: its last ones are n
    std::memcpy(&bits, &shifted, sizeof bits);
    const int32_t exponent = static_cast<int32_t>(static_cast<uint32_t>(bits + 127) << 23);
    float power;
    std::memcpy(&power, &exponent, sizeof power);
    return sum * power;
}

// Eq. 6 divided by its largest value: in (0, 1], so that a small tau cannot overflow.
SSLMOT_HOST_DEVICE inline float affinity(float cos, const PairParams& p) {
    return exp_negative((cos - 1.0F) / p.tau);
}

// Relative L1 distance of the centres in units of the track's size (eq. 7).
SSLMOT_HOST_DEVICE inline float distance(const Box& track, const Box& detection) {
    return 0.5F * (std::fabs(detection.cx - track.cx) * track.per_w +
                   std::fabs(detection.cy - track.cy) * track.per_h);
}

// Eq. 7, clamped at max_cost. Without features the cosine is 1: motion alone decides. Comparisons
// are written so that a NaN stays a NaN, which the solver reports, and does not become max_cost.
SSLMOT_HOST_DEVICE inline float pair_cost(float cos, float dis, const TrackLimits& track,
                                          const PairParams& p) {
    const float a = affinity(cos, p);
    if (dis > track.max_distance || a < track.min_affinity || cos == -INFINITY) return p.max_cost;
    const float motion = 1.0F < dis ? 1.0F : dis;
    const float cost = p.appearance_weight * (1.0F - a) + p.motion_weight * motion;
    return p.max_cost < cost ? p.max_cost : cost;
}

// Whether a pair of this cost can match. A NaN can: the solver reports it.
inline bool can_match(float cost, const PairParams& p) { return !(cost >= p.max_cost); }

}  // namespace sslmot
