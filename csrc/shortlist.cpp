#include "shortlist.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "simd.h"

namespace sslmot {

namespace {

constexpr int64_t kBlock = 1024;  // codes that stay in the L2 cache for all queries

struct Found {
    int32_t score;
    int64_t code;
};

SSLMOT_SIMD_CLONES
void dots(const int8_t* codes, int64_t n, const int16_t* query, int32_t* out) {
    for (int64_t i = 0; i < n; ++i) {
        int32_t sum = 0;
        for (int64_t k = 0; k < kCodeLength; ++k)
            sum += static_cast<int16_t>(codes[i * kCodeLength + k]) * query[k];
        out[i] = sum;
    }
}

// Keep the best `size`; return the least score of these.
int32_t keep_best(std::vector<Found>& found, size_t size) {
    const auto last = found.begin() + static_cast<std::ptrdiff_t>(size) - 1;
    std::nth_element(found.begin(), last, found.end(),
                     [](const Found& a, const Found& b) { return a.score > b.score; });
    found.resize(size);
    return found.back().score;
}

}  // namespace

void nearest_codes(const int8_t* codes, int64_t n, const int8_t* queries, int64_t n_queries,
                   int64_t size, int64_t* found) {
    const auto count = static_cast<size_t>(n_queries), most = static_cast<size_t>(size);
    const std::vector<int16_t> wide(queries, queries + n_queries * kCodeLength);
    std::vector<std::vector<Found>> best(count);
    std::vector<int32_t> least(count, std::numeric_limits<int32_t>::min());
    std::vector<int32_t> scores(static_cast<size_t>(kBlock));
    for (int64_t begin = 0; begin < n; begin += kBlock) {
        const int64_t block = std::min(kBlock, n - begin);
        for (size_t q = 0; q < count; ++q) {
            dots(codes + begin * kCodeLength, block, &wide[q * kCodeLength], scores.data());
            for (int64_t i = 0; i < block; ++i) {
                const int32_t score = scores[static_cast<size_t>(i)];
                if (score <= least[q]) continue;
                best[q].push_back({score, begin + i});
                if (best[q].size() == 2 * most) least[q] = keep_best(best[q], most);
            }
        }
    }
    for (size_t q = 0; q < count; ++q) {
        keep_best(best[q], most);
        for (const Found& one : best[q]) *found++ = one.code;
    }
}

}  // namespace sslmot
