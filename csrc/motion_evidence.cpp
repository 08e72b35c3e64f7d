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
        d[k] = error * error * track.per_var[k];
    }
    return {d[0] + d[1], d[2] + d[3]};
}

// t with 4 degrees of freedom in 4 dimensions falls with the fourth power of this.
double spread(const Squares& d, double per_square_scale) {
    return 1.0 + (d.centre * per_square_scale + d.size) / kFreedom;
}

// Sum logarithms as those of products, which are few.
class LogSum {
  public:
    // value: 1e-15 to 1e15.
    void add(double value) {
        product_ *= value;
        if (++factors_ % 16 == 0) sum_ += std::log(product_), product_ = 1.0;
    }
    double sum() const { return sum_ + std::log(product_); }

  private:
    double product_ = 1.0, sum_ = 0.0;
    size_t factors_ = 0;
};

}  // namespace

ExpectedDetection::ExpectedDetection(const float* state, const float* predicted, int64_t unseen,
                                     const MotionNoise& noise)
    : value(centre_of(predicted)), time_since_update(unseen) {
    const float *var_then = state + 8, *cov = state + 12, *velocity_var = state + 16;
    const double square_height = static_cast<double>(state[3]) * state[3] + 1e-12;
    const double n = static_cast<double>(std::min(unseen, kMostUnseen)) + 1.0;
    const double measured = static_cast<double>(noise.measurement) * noise.measurement;
    double product = 1.0;
    for (size_t k = 0; k < 4; ++k) {
        // n frames of the filter's prediction at once.
        const double moved = k < 2 ? noise.value : noise.size;
        const double turned = k < 2 ? noise.velocity : 0.0F;
        const double process =
            n * moved * moved + turned * turned * (n - 1.0) * n * (2.0 * n - 1.0) / 6.0;
        const double var = var_then[k] + 2.0 * n * cov[k] + n * n * velocity_var[k] +
                           (process + measured) * square_height;
        per_var[k] = 1.0 / var;
        product *= per_var[k] * square_height;
    }
    peak = kPeak * std::sqrt(product);
}

void associate_by_motion(const std::vector<ExpectedDetection>& tracks, const ClipMotion& clip,
                         const Comparison& c) {
    thread_local Grid<CentrePoint> grid;  // keeps its memory from frame to frame
    grid.build(c.detections.count, [&](int64_t j) {
        const auto at = centre_of(c.detections.boxes + 4 * j);
        return CentrePoint{at, static_cast<float>(at[0]), static_cast<float>(at[1])};
    });
    c.pairs->clear();
    const double per_square_scale = 1.0 / (clip.scale * clip.scale);
    const double odds = kDetected / ((1.0 - kDetected) * clip.new_density) * per_square_scale;
    for (size_t i = 0; i < tracks.size(); ++i) {
        const ExpectedDetection& track = tracks[i];
        const auto lost = static_cast<double>(track.time_since_update);
        const double returns = lost > 0.0 ? kReturning / (1.0 + lost) : 1.0;
        // Evidence is positive where the spread is less than this: within an ellipsoid. A little
        // slack covers rounding.
        const double most = std::sqrt(std::sqrt(track.peak * odds * returns));
        const double radius2 = kFreedom * (most - 1.0);
        if (!(radius2 <= 0.0)) {
            const double radius = 1.0001 * clip.scale * std::sqrt(radius2);
            const double dx = radius / std::sqrt(track.per_var[0]);
            const double dy = radius / std::sqrt(track.per_var[1]);
            const Point low{static_cast<float>(track.value[0] - dx),
                            static_cast<float>(track.value[1] - dy)};
            const Point high{static_cast<float>(track.value[0] + dx),
                             static_cast<float>(track.value[1] + dy)};
            grid.search(low, high, [&](size_t first, size_t last) {
                for (size_t k = first; k < last; ++k) {
                    const int32_t j = grid.order[k];
                    if (c.tracks.classes && c.tracks.classes[i] != c.detections.classes[j])
                        continue;
                    const double s =
                        spread(squares(track, grid.sorted[k].value), per_square_scale);
                    // Written so that a NaN reaches the solver, which reports it.
                    if (s >= most) continue;
                    c.pairs->columns.push_back(j);
                    c.pairs->values.push_back(4.0F * std::log(static_cast<float>(s / most)));
                }
                expect_few_pairs(static_cast<int64_t>(c.pairs->columns.size()));
            });
        }
        c.pairs->end_row();
    }
    assign_sparse(c.pairs->row_begin.data(), c.pairs->columns.data(), c.pairs->values.data(),
                  c.tracks.count, c.detections.count, 0.0, c.match);
}

double gain_of_moving(const std::vector<ExpectedDetection>& tracks, const float* boxes,
                      const std::vector<int32_t>& match, double scale, double dx, double dy) {
    const double per_square_scale = 1.0 / (scale * scale);
    LogSum gain;
    for (size_t i = 0; i < tracks.size(); ++i) {
        if (match[i] < 0) continue;
        auto seen = centre_of(boxes + 4 * static_cast<size_t>(match[i]));
        const double before = spread(squares(tracks[i], seen), per_square_scale);
        seen[0] -= dx, seen[1] -= dy;
        gain.add(before / spread(squares(tracks[i], seen), per_square_scale));
    }
    return kFreedom * gain.sum();
}

void learn_scale(const std::vector<ExpectedDetection>& tracks, const float* boxes,
                 const std::vector<int64_t>& columns, ClipMotion& clip) {
    if (tracks.empty()) return;
    const double keep = std::exp(-static_cast<double>(tracks.size()) / kScaleMatches);
    const double chance = (1.0 - kDetected) * clip.new_density;
    std::array<LogSum, ClipMotion::kScales> sums;
    for (size_t i = 0; i < tracks.size(); ++i) {
        const Squares d = squares(tracks[i], centre_of(boxes + 4 * columns[i]));
        double per_square_scale = 1.0 / (kSmallestScale * kSmallestScale);
        for (LogSum& sum : sums) {
            double power = spread(d, per_square_scale);
            power *= power, power *= power;
            // A match may be wrong: then its detection is one of chance, whatever the scale.
            sum.add(chance + kDetected * tracks[i].peak * per_square_scale / power);
            per_square_scale *= 0.25;
        }
    }
    for (size_t k = 0; k < ClipMotion::kScales; ++k)
        clip.likelihood[k] = keep * clip.likelihood[k] + sums[k].sum();
    // The mean of log(scale).
    std::array<double, ClipMotion::kScales> log_scale, posterior;
    for (size_t k = 0; k < posterior.size(); ++k) {
        log_scale[k] = std::log(kSmallestScale) + static_cast<double>(k) * std::log(2.0);
        posterior[k] = clip.likelihood[k] - 0.5 * kPrior * log_scale[k] * log_scale[k];
    }
    const double largest = *std::max_element(posterior.begin(), posterior.end());
    double sum = 0.0, weights = 0.0;
    for (size_t k = 0; k < posterior.size(); ++k) {
        const double weight = std::exp(posterior[k] - largest);
        sum += weight * log_scale[k], weights += weight;
    }
    clip.scale = std::exp(sum / weights);
}

void learn_new_density(const std::vector<float>& boxes, const std::vector<uint8_t>& skip,
                       size_t found, ClipMotion& clip) {
    size_t count = 0;
    double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY, height = 0.0;
    for (size_t j = 0; j < skip.size(); ++j) {
        if (skip[j]) continue;
        const auto at = centre_of(&boxes[4 * j]);
        ++count;
        x0 = std::min(x0, at[0]), x1 = std::max(x1, at[0]);
        y0 = std::min(y0, at[1]), y1 = std::max(y1, at[1]);
        height += at[3];
    }
    if (!(height > 0.0)) return;
    height /= static_cast<double>(count);
    // The area in which there were detections, in squared heights.
    const double area = ((x1 - x0) / height + 1.0) * ((y1 - y0) / height + 1.0);
    clip.frames = std::min(clip.frames + 1.0, kDensityFrames);
    clip.new_density += (static_cast<double>(found) / area - clip.new_density) / clip.frames;
    clip.new_density = std::max(clip.new_density, kLeastDensity);
}

}  // namespace sslmot
