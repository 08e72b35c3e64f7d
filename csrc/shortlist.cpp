#include "shortlist.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__)
#define SSLMOT_AVX2
#include <immintrin.h>
#endif

namespace sslmot {

namespace {

constexpr int64_t kBlock = 1024;  // codes that stay in the cache for all queries

struct Found {
    int32_t score;
    int64_t code;
};

struct Query {
    const int8_t* head;
    const int8_t* tail;
    int32_t head_zero, tail_zero;  // the dot products with a code of zeros
    float tail_norm;
    std::vector<Found> best{};
    int32_t least = std::numeric_limits<int32_t>::min();  // a score that does not suffice
};

// Dot products of parts of codes, as they are stored, and of a query.
template <int64_t kNumbers>
void plain_dots(const uint8_t* codes, int64_t n, const int8_t* query, int32_t* out) {
    for (int64_t i = 0; i < n; ++i) {
        int32_t sum = 0;
        for (int64_t k = 0; k < kNumbers; ++k) sum += codes[i * kNumbers + k] * query[k];
        out[i] = sum;
    }
}

#ifdef SSLMOT_AVX2
// Compilers find no use for vpmaddubsw, which makes this three times as fast.
template <int64_t kNumbers>
__attribute__((target("avx2"))) void avx2_dots(const uint8_t* codes, int64_t n, const int8_t* query,
                                               int32_t* out) {
    const __m256i ones = _mm256_set1_epi16(1);
    for (int64_t i = 0; i < n; ++i) {
        const uint8_t* code = codes + i * kNumbers;
        __m256i sums = _mm256_setzero_si256();
        for (int64_t k = 0; k < kNumbers; k += 32) {
            const __m256i stored = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(code + k));
            const __m256i asked = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query + k));
            const __m256i pairs = _mm256_maddubs_epi16(stored, asked);
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, ones));
        }
        __m128i four =
            _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
        out[i] = _mm_cvtsi128_si32(four);
    }
}
#endif

using Dots = void (*)(const uint8_t*, int64_t, const int8_t*, int32_t*);

template <int64_t kNumbers>
Dots dots_of_this_machine() {
#ifdef SSLMOT_AVX2
    if (__builtin_cpu_supports("avx2")) return avx2_dots<kNumbers>;
#endif
    return plain_dots<kNumbers>;
}

// Keep the best `size`; return the least score of these.
int32_t keep_best(std::vector<Found>& found, size_t size) {
    const auto last = found.begin() + static_cast<std::ptrdiff_t>(size) - 1;
    std::nth_element(found.begin(), last, found.end(),
                     [](const Found& a, const Found& b) { return a.score > b.score; });
    found.resize(size);
    return found.back().score;
}

int32_t sum(const int8_t* numbers, int64_t n) { return std::accumulate(numbers, numbers + n, 0); }

float norm(const int8_t* numbers, int64_t n) {
    return std::sqrt(static_cast<float>(std::inner_product(numbers, numbers + n, numbers, 0)));
}

}  // namespace

void nearest_codes(const Codes& codes, const int8_t* queries, int64_t n_queries, int64_t size,
                   int64_t* found) {
    static const Dots head_dots = dots_of_this_machine<kHead>();
    static const Dots tail_dots = dots_of_this_machine<kTail>();
    const auto most = static_cast<size_t>(size);
    std::vector<Query> all;
    for (int64_t q = 0; q < n_queries; ++q) {
        const int8_t *head = queries + q * (kHead + kTail), *tail = head + kHead;
        all.push_back({head, tail, kCodeZero * sum(head, kHead), kCodeZero * sum(tail, kTail),
                       norm(tail, kTail)});
    }
    std::vector<int32_t> scores(static_cast<size_t>(kBlock));
    for (int64_t begin = 0; begin < codes.n; begin += kBlock) {
        const int64_t block = std::min(kBlock, codes.n - begin);
        for (Query& query : all) {
            head_dots(codes.head + begin * kHead, block, query.head, scores.data());
            for (int64_t i = 0; i < block; ++i) {
                const int64_t code = begin + i;
                int32_t score = scores[static_cast<size_t>(i)] - query.head_zero;
                // Cauchy-Schwarz; 1 more than any rounding of it.
                const float rest = query.tail_norm * codes.tail_norms[code] + 1.0F;
                if (static_cast<float>(score) + rest <= static_cast<float>(query.least)) continue;
                int32_t more = 0;
                tail_dots(codes.tail + code * kTail, 1, query.tail, &more);
                score += more - query.tail_zero;
                if (score <= query.least) continue;
                query.best.push_back({score, code});
                if (query.best.size() == 2 * most) query.least = keep_best(query.best, most);
            }
        }
    }
    for (Query& query : all) {
        keep_best(query.best, most);
        for (const Found& one : query.best) *found++ = one.code;
    }
}

}  // namespace sslmot
