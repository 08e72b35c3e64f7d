#include "motion_evidence.h"

#include <algorithm>
#include <cmath>

#include "assign.h"
#include "grid.h"

namespace sslmot {

namespace {

constexpr double kDetected = 0.8;          // chance that a tracked object is detected in a frame
constexpr double kReturning = 1.0 / 3.0;   // share of lost tracks that come back
constexpr double kFreedom = 4.0;           // degrees of freedom of the distribution of detections
constexpr double kPeak = 0.0379954;        // its density at 0 for unit variances: 6 / (4 pi)^2
constexpr double kSmallestScale = 0.0625;  // candidates: this, and doubled
constexpr double kScaleMatches = 1000.0;   // matches after which old ones have faded to 1 / e
constexpr double kDensityFrames = 100.0;   // frames that the density of new tracks is the mean of
// Of log(scale), 1 / variance before any match: the filter is believed until a hundred matches or
// so say otherwise.
constexpr double kPrior = 100.0;
constexpr double kLeastDensity = 1e-5;

struct CentrePoint {
    std::array<double, 4> value;
    float x, y;
    Point point() const { return {x, y}; }
};

std::array<double, 4> centre_of(const float* xyxy) {
    float box[4];
    to_centre(xyxy, box);
    return {box[0], box[1], box[2], box[3]};
}

// Squared distance in standard deviations, of centres and of sizes.
struct Squares {
    double centre, size;
};

Squares squares(const ExpectedDetection& track, const std::array<double, 4>& seen) {
    std::array<double, 4> d;
    for (size_t k = 0; k < 4; ++k) {
        const double error = seen[k] - track.value[k];
        d[k] = error * error / track.var[k];
    }
    return {d[0] + d[1], d[2] + d[3]};
}

// Density at the predicted box.
double peak_of(const ExpectedDetection& track, double scale) {
    const double square = track.square_height;
    double product = 1.0;
    for (const double var : track.var) product *= var / square;
    return kPeak / (std::sqrt(product) * scale * scale);
}

// t with 4 degrees of freedom in 4 dimensions falls with the fourth power.
double tail(const Squares& d, double scale) {
    const double base = 1.0 + (d.centre / (scale * scale) + d.size) / kFreedom;
    return 1.0 / (base * base * base * base);
}

double scale_of(size_t candidate) {
    return std::ldexp(kSmallestScale, static_cast<int>(candidate));
}

}  // namespace

ExpectedDetection::ExpectedDetection(const float* state, const float* predicted, int64_t unseen,
                                     const MotionNoise& noise)
    : value(centre_of(predicted)), time_since_update(unseen) {
    const float *var_then = state + 8, *cov = state + 12, *velocity_var = state + 16;
    square_height = static_cast<double>(state[3]) * state[3] + 1e-12;
    const double n = static_cast<double>(std::min(unseen, kMostUnseen)) + 1.0;
    const double measured = static_cast<double>(noise.measurement) * noise.measurement;
    for (size_t k = 0; k < 4; ++k) {
        // n frames of the filter's prediction at once.
        const double moved = k < 2 ? noise.value : noise.size;
        const double turned = k < 2 ? noise.velocity : 0.0F;
        const double process =
            n * moved * moved + turned * turned * (n - 1.0) * n * (2.0 * n - 1.0) / 6.0;
        var[k] = var_then[k] + 2.0 * n * cov[k] + n * n * velocity_var[k] +
                 (process + measured) * square_height;
    }
}

void associate_by_motion(const std::vector<ExpectedDetection>& tracks, const ClipMotion& clip,
                         const Comparison& c) {
    thread_local Grid<CentrePoint> grid;  // keeps its memory from frame to frame
    grid.build(c.detections.count, [&](int64_t j) {
        const auto at = centre_of(c.detections.boxes + 4 * j);
        return CentrePoint{at, static_cast<float>(at[0]), static_cast<float>(at[1])};
    });
    c.pairs->clear();
    const double odds = kDetected / ((1.0 - kDetected) * clip.new_density);
    for (size_t i = 0; i < tracks.size(); ++i) {
        const ExpectedDetection& track = tracks[i];
        const auto lost = static_cast<double>(track.time_since_update);
        const double returns = lost > 0.0 ? kReturning / (1.0 + lost) : 1.0;
        const double most = peak_of(track, clip.scale) * odds * returns;
        // Evidence is positive within an ellipsoid; a little slack covers rounding.
        const double radius2 = kFreedom * (std::sqrt(std::sqrt(most)) - 1.0);
        if (!(radius2 <= 0.0)) {
            const double radius = 1.0001 * clip.scale * std::sqrt(radius2);
            const double dx = radius * std::sqrt(track.var[0]);
            const double dy = radius * std::sqrt(track.var[1]);
            const Point low{static_cast<float>(track.value[0] - dx),
                            static_cast<float>(track.value[1] - dy)};
            const Point high{static_cast<float>(track.value[0] + dx),
                             static_cast<float>(track.value[1] + dy)};
            const double log_most = std::log(most);
            grid.search(low, high, [&](size_t first, size_t last) {
                for (size_t k = first; k < last; ++k) {
                    const int32_t j = grid.order[k];
                    if (c.tracks.classes && c.tracks.classes[i] != c.detections.classes[j])
                        continue;
                    const double t = tail(squares(track, grid.sorted[k].value), clip.scale);
                    // Written so that a NaN reaches the solver, which reports it.
                    if (most * t <= 1.0) continue;
                    c.pairs->columns.push_back(j);
                    c.pairs->values.push_back(static_cast<float>(-(log_most + std::log(t))));
                }
                expect_few_pairs(static_cast<int64_t>(c.pairs->columns.size()));
            });
        }
        c.pairs->end_row();
    }
    assign_sparse(c.pairs->row_begin.data(), c.pairs->columns.data(), c.pairs->values.data(),
                  c.tracks.count, c.detections.count, 0.0, c.match);
}

void learn_scale(const std::vector<ExpectedDetection>& tracks, const float* boxes,
                 const std::vector<int64_t>& columns, ClipMotion& clip) {
    if (tracks.empty()) return;
    const double keep = std::exp(-static_cast<double>(tracks.size()) / kScaleMatches);
    for (double& likelihood : clip.likelihood) likelihood *= keep;
    const double chance = (1.0 - kDetected) * clip.new_density;
    for (size_t i = 0; i < tracks.size(); ++i) {
        const Squares d = squares(tracks[i], centre_of(boxes + 4 * columns[i]));
        const double peak = peak_of(tracks[i], 1.0);
        for (size_t k = 0; k < ClipMotion::kScales; ++k) {
            const double scale = scale_of(k);
            // A match may be wrong: then its detection is one of chance, whatever the scale.
            const double density = peak / (scale * scale) * tail(d, scale);
            clip.likelihood[k] += std::log(chance + kDetected * density);
        }
    }
    // The mean of log(scale).
    std::array<double, ClipMotion::kScales> posterior;
    for (size_t k = 0; k < posterior.size(); ++k) {
        const double log_scale = std::log(scale_of(k));
        posterior[k] = clip.likelihood[k] - 0.5 * kPrior * log_scale * log_scale;
    }
    const double largest = *std::max_element(posterior.begin(), posterior.end());
    double sum = 0.0, weights = 0.0;
    for (size_t k = 0; k < posterior.size(); ++k) {
        const double weight = std::exp(posterior[k] - largest);
        sum += weight * std::log(scale_of(k)), weights += weight;
    }
    clip.scale = std::exp(sum / weights);
}

void learn_new_density(const std::vector<float>& boxes, size_t found, ClipMotion& clip) {
    if (boxes.empty()) return;
    double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY, height = 0.0;
    for (size_t j = 0; j < boxes.size(); j += 4) {
        const auto at = centre_of(&boxes[j]);
        x0 = std::min(x0, at[0]), x1 = std::max(x1, at[0]);
        y0 = std::min(y0, at[1]), y1 = std::max(y1, at[1]);
        height += at[3];
    }
    height /= static_cast<double>(boxes.size() / 4);
    if (!(height > 0.0)) return;
    // The area in which there were detections, in squared heights.
    const double area = ((x1 - x0) / height + 1.0) * ((y1 - y0) / height + 1.0);
    clip.frames = std::min(clip.frames + 1.0, kDensityFrames);
    clip.new_density += (static_cast<double>(found) / area - clip.new_density) / clip.frames;
    clip.new_density = std::max(clip.new_density, kLeastDensity);
}

}  // namespace sslmot
