// Whether two features show one object or two, by what a tracker learns of a clip.
//
// The cosines of an object's features with each other, and those of different objects, are each
// distributed normally, but for a few outliers. The evidence of a cosine is
//     log( p(cosine | one object) / p(cosine | two objects) ).
// Weak features have much alike distributions, so that they say little.
#pragma once

#include <vector>

#include "impostors.h"

namespace sslmot {

// The cosine of a detection with a track, and the probability that it shows the track.
struct PossibleGenuine {
    float cosine, probability;
};

// Cosines of detections with the tracks that they show (in biometrics: genuine scores). Each counts
// by its probability to be one.
struct Genuines {
    double count = 0.0, sum = 0.0, squares = 0.0;  // old ones fade

    void add(const std::vector<PossibleGenuine>& pairs);
};

class AppearanceEvidence {
  public:
    AppearanceEvidence() = default;
    AppearanceEvidence(const Genuines& genuines, const Impostors& impostors);

    // The evidence of a cosine.
    float operator()(float cosine) const;
    // The most that any cosine gives; 0 or more.
    float most() const;

  private:
    struct Normal {
        float mean = 0.0F, deviation = 1.0F;
        float density(float x) const;
    };

    Normal same_, different_;
    float outlier_ = 1.0F;  // density of outliers
};

}  // namespace sslmot
