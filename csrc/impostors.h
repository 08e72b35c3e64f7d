// How alike different objects look in this video.
//
// Two confirmed tracks in one frame are different objects. The cosines between such tracks (in
// biometrics: impostor scores) say what similarity chance gives, with this encoder, in this light.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace sslmot {

struct Step;
class TrackTable;

class Impostors {
  public:
    static constexpr int kBins = 512;
    // Beyond so many pairs all counts are halved: light changes, and the past fades.
    static constexpr int64_t kMostImpostors = 1 << 17;
    using Counts = std::array<int64_t, kBins>;  // of cosines from -1 to 1

    void add(const std::vector<float>& cosines);
    // The lowest cosine that a pair of different objects reaches with less than this probability.
    // It is above 1 where too few pairs are known to tell.
    float threshold(double probability) const;

    const Counts& counts() const { return counts_; }
    void set_counts(const Counts& counts);
    int64_t total() const { return total_; }
    // Of the cosines, and of their squares.
    double sum() const { return static_cast<double>(sum_) / kBins; }
    double squares() const { return static_cast<double>(squares_) / (kBins * kBins); }

  private:
    Counts counts_{};
    int64_t total_ = 0;
    int64_t sum_ = 0, squares_ = 0;  // of the bins' centres in 1 / kBins: exact
};

// Compare some confirmed tracks of an associated frame with the detections of each other, and write
// the cosines to the step. Only tracks of one class are compared, as in re-identification. Tracks
// whose detections overlap or are occluded are left out: their features show each other.
void sample_impostors(const TrackTable& table, Step& step);

}  // namespace sslmot
