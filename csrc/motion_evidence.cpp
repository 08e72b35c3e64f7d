#include "motion_evidence.h"

#include <algorithm>
#include <cmath>

#include "assign.h"
#include "grid.h"

namespace sslmot {

namespace {

constexpr double kDetected = 0.8;         // chance that a tracked object is detected in a frame
constexpr double kReturning = 1.0 / 3.0;  // share of lost tracks that come back
// Density at 0 of t with 4 degrees of freedom in 4 dimensions for unit variances: 6 / (4 pi)^2.
constexpr float kPeak = 0.0379954F;
constexpr double kSmallestScale = 0.0625;  // candidates: this, and doubled
constexpr std::array<double, ClipMotion::kScales> kPerSquareScale{
    256.0, 64.0, 16.0, 4.0, 1.0, 1.0 / 4.0, 1.0 / 16.0, 1.0 / 64.0};
constexpr double kScaleMatches = 1000.0;  // matches after which old ones have faded to 1 / e
constexpr double kDensityFrames = 100.0;  // frames that the densities are the mean of
// Of log(scale), 1 / variance before any match: the filter is believed until a hundred matches or
// so say otherwise.
constexpr double kPrior = 100.0;

// Evidence against a match that changes the class: 200 to 1. A smaller number lets objects that
// cross swap identities, a larger one ends tracks whose place is not certain.
constexpr float kClassChange = 5.2983174F;

struct CentrePoint {
    std::array<float, 4> value;
    Point point() const { return {value[0], value[1]}; }
};

std::array<float, 4> centre_of(const float* xyxy) {
    std::array<float, 4> box;
    to_centre(xyxy, box.data());
    return box;
}

// Squared distance in standard deviations, of centres and of sizes.
struct Squares {
    float centre, size;
};

Squares squares(const ExpectedDetection& track, const std::array<float, 4>& seen) {
    std::array<float, 4> d;
    for (size_t k = 0; k < 4; ++k) {
        const float error = seen[k] - track.value[k];
        d[k] = error * error * track.per_var[k];
    }
    return {d[0] + d[1], d[2] + d[3]};
}

// t with 4 degrees of freedom in 4 dimensions falls with the fourth power of this.
float spread(const Squares& d, float per_square_scale) {
    return 1.0F + 0.25F * (d.centre * per_square_scale + d.size);
}

}  // namespace

ExpectedDetection::ExpectedDetection(const float* state, const float* box, double gap,
                                     double elapsed, const MotionNoise& noise)
    : value(centre_of(box)),
      returns(gap > elapsed ? static_cast<float>(kReturning * elapsed / gap) : 1.0F) {
    const float square_height = state[3] * state[3] + 1e-12F;
    const MotionState then = predicted(state, gap, noise);
    const float measured_var = noise.measurement * noise.measurement * square_height;
    float product = 1.0F;
    for (size_t k = 0; k < 4; ++k) {
        per_var[k] = 1.0F / (then.var[k] + measured_var);
        product *= per_var[k] * square_height;
    }
    peak = kPeak * std::sqrt(product);
}

double high_score_odds(const ClipMotion& clip) {
    return kDetected / ((1.0 - kDetected) * clip.new_density);
}

double low_score_odds(const ClipMotion& clip) { return 1.0 / clip.low_density; }

void find_evidence(const std::vector<ExpectedDetection>& tracks, double clip_scale,
                   double clip_odds, const Comparison& c, float slack) {
    thread_local Grid<CentrePoint> kept;  // keeps its memory from frame to frame
    Grid<CentrePoint>& grid = kept;
    grid.build(c.detections.count,
               [&](int64_t j) { return CentrePoint{centre_of(c.detections.boxes + 4 * j)}; });
    c.pairs->clear(c.tracks.count);
    const auto scale = static_cast<float>(clip_scale), odds = static_cast<float>(clip_odds);
    const float per_square_scale = 1.0F / (scale * scale);
    const float wider = std::exp(0.25F * slack);
    for (size_t i = 0; i < tracks.size(); ++i) {
        const ExpectedDetection& track = tracks[i];
        // Evidence is positive where the spread is less than `even`: within an ellipsoid.
        const float even =
            std::sqrt(std::sqrt(track.peak * odds * per_square_scale * track.returns));
        const float most = even * wider;
        if (!(most <= 1.0F) && c.tracks.classes[i] != kNoClass) {
            const float var = 1.0F / std::min(track.per_var[0], track.per_var[1]);
            // A little more covers rounding.
            const float radius = 1.0001F * scale * std::sqrt(4.0F * (most - 1.0F) * var);
            const Point low{track.value[0] - radius, track.value[1] - radius};
            const Point high{track.value[0] + radius, track.value[1] + radius};
            grid.search(low, high, [&](size_t first, size_t last) {
                for (size_t k = first; k < last; ++k) {
                    const float s = spread(squares(track, grid.sorted[k].value), per_square_scale);
                    // Written so that a NaN reaches the solver, which reports it.
                    if (s >= most) continue;
                    const int32_t j = grid.order[k];
                    float value = 4.0F * std::log(s / even);
                    if (c.tracks.classes[i] != c.detections.classes[j]) {
                        value += kClassChange;
                        if (c.detections.classes[j] == kNoClass || value >= slack) continue;
                    }
                    c.pairs->columns.push_back(j);
                    c.pairs->values.push_back(value);
                }
                expect_few_pairs(static_cast<int64_t>(c.pairs->columns.size()));
            });
        }
        c.pairs->end_row();
    }
}

void match_by_evidence(const Comparison& c) {
    assign_sparse(c.pairs->row_begin.data(), c.pairs->columns.data(), c.pairs->values.data(),
                  c.tracks.count, c.detections.count, 0.0, c.match);
}

double gain_of_moving(const std::vector<ExpectedDetection>& tracks, const std::vector<size_t>& rows,
                      const std::vector<int32_t>& match, const float* boxes, double scale, float dx,
                      float dy) {
    const auto per_square_scale = static_cast<float>(1.0 / (scale * scale));
    // Logarithms of products, which are few.
    double gain = 0.0, product = 1.0;
    for (size_t k = 0; k < rows.size(); ++k) {
        const size_t i = rows[k];
        auto seen = centre_of(boxes + 4 * static_cast<size_t>(match[i]));
        const float before = spread(squares(tracks[i], seen), per_square_scale);
        seen[0] -= dx, seen[1] -= dy;
        product *= static_cast<double>(before / spread(squares(tracks[i], seen), per_square_scale));
        if ((k + 1) % 8 && k + 1 < rows.size()) continue;
        gain += std::log(product), product = 1.0;
    }
    return 4.0 * gain;
}

void learn_scale(const std::vector<ExpectedDetection>& tracks, const float* boxes,
                 const std::vector<int64_t>& columns, ClipMotion& clip) {
    if (tracks.empty()) return;
    const double keep = std::exp(-static_cast<double>(tracks.size()) / kScaleMatches);
    const double chance = (1.0 - kDetected) * clip.new_density;
    // Logarithms of products, which are few.
    std::array<double, ClipMotion::kScales> likelihood, product;
    for (size_t k = 0; k < ClipMotion::kScales; ++k)
        likelihood[k] = keep * clip.likelihood[k], product[k] = 1.0;
    for (size_t i = 0; i < tracks.size(); ++i) {
        const Squares d = squares(tracks[i], centre_of(boxes + 4 * columns[i]));
        const auto centre = static_cast<double>(d.centre), size = static_cast<double>(d.size);
        const double peak = kDetected * static_cast<double>(tracks[i].peak);
        for (size_t k = 0; k < ClipMotion::kScales; ++k) {
            double power = 1.0 + 0.25 * (centre * kPerSquareScale[k] + size);
            power *= power, power *= power;
            // A match may be wrong: then its detection is one of chance, whatever the scale.
            product[k] *= chance + peak * kPerSquareScale[k] / power;
        }
        if ((i + 1) % 16 && i + 1 < tracks.size()) continue;
        for (size_t k = 0; k < ClipMotion::kScales; ++k)
            likelihood[k] += std::log(product[k]), product[k] = 1.0;
    }
    clip.likelihood = likelihood;
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

void learn_densities(const std::vector<float>& boxes, const std::vector<uint8_t>& low_score,
                     size_t found, size_t low_found, ClipMotion& clip) {
    size_t count = 0;
    float x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
    double height = 0.0;
    for (size_t j = 0; j < low_score.size(); ++j) {
        if (low_score[j]) continue;
        const auto at = centre_of(&boxes[4 * j]);
        ++count;
        x0 = std::min(x0, at[0]), x1 = std::max(x1, at[0]);
        y0 = std::min(y0, at[1]), y1 = std::max(y1, at[1]);
        height += static_cast<double>(at[3]);
    }
    if (!(height > 0.0)) return;
    height /= static_cast<double>(count);
    // The area in which there were high-score detections, in squared heights.
    const double area = (static_cast<double>(x1 - x0) / height + 1.0) *
                        (static_cast<double>(y1 - y0) / height + 1.0);
    clip.frames = std::min(clip.frames + 1.0, kDensityFrames);
    const auto learn = [&](double& density, size_t count_found) {
        density += (static_cast<double>(count_found) / area - density) / clip.frames;
        density = std::max(density, ClipMotion::kLeastDensity);
    };
    learn(clip.new_density, found), learn(clip.low_density, low_found);
}

}  // namespace sslmot
