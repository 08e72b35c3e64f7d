#include "appearance_evidence.h"

#include <algorithm>
#include <cmath>

namespace sslmot {

namespace {

constexpr double kFade = 0.001;  // share of the genuine cosines that each new one replaces

// What is assumed of an encoder before anything is learned, as if so many cosines had been seen.
struct Prior {
    double count, mean, deviation;
};
constexpr Prior kSame{10.0, 0.9, 0.1};
constexpr Prior kDifferent{30.0, 0.5, 0.2};
// Share of outliers among cosines, in the end and more of them before anything is learned: what is
// not known yet must not overrule a sure motion.
constexpr double kOutliers = 0.002, kFirstOutliers = 0.1;
constexpr double kLeastDeviation = 0.01;
constexpr float kLeastGap = 0.01F;  // between the means

}  // namespace

void Genuines::add(const std::vector<PossibleGenuine>& pairs) {
    for (const PossibleGenuine& pair : pairs) {
        const auto c = static_cast<double>(pair.cosine), p = static_cast<double>(pair.probability);
        const double keep = 1.0 - kFade * p;
        count = keep * count + p, sum = keep * sum + p * c, squares = keep * squares + p * c * c;
    }
}

float AppearanceEvidence::Normal::density(float x) const {
    constexpr float per_root = 0.398942280F;  // 1 / sqrt(2 pi)
    const float d = (x - mean) / deviation;
    return per_root / deviation * std::exp(-0.5F * d * d);
}

AppearanceEvidence::AppearanceEvidence(const Genuines& genuines, const Impostors& impostors) {
    const auto fit = [](const Prior& prior, double count, double sum, double squares) {
        const double all = count + prior.count;
        const double mean = (sum + prior.count * prior.mean) / all;
        const double square =
            squares + prior.count * (prior.mean * prior.mean + prior.deviation * prior.deviation);
        const double variance = square / all - mean * mean;
        const double least = kLeastDeviation * kLeastDeviation;
        return Normal{static_cast<float>(mean),
                      static_cast<float>(std::sqrt(std::max(variance, least)))};
    };
    same_ = fit(kSame, genuines.count, genuines.sum, genuines.squares);
    different_ = fit(kDifferent, static_cast<double>(impostors.total()), impostors.sum(),
                     impostors.squares());
    different_.mean = std::min(different_.mean, same_.mean - kLeastGap);
    const double outliers =
        kOutliers + kFirstOutliers * kSame.count / (kSame.count + genuines.count);
    // Outliers have any cosine, -1 to 1.
    outlier_ = static_cast<float>(0.5 * outliers / (1.0 - outliers));
}

float AppearanceEvidence::operator()(float cosine) const {
    // A smaller cosine never says more for one object: beyond the means the evidence is constant.
    const float c = std::clamp(cosine, different_.mean, same_.mean);
    return std::log((same_.density(c) + outlier_) / (different_.density(c) + outlier_));
}

float AppearanceEvidence::most() const { return std::max(0.0F, (*this)(1.0F)); }

}  // namespace sslmot
