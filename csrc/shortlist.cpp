#include "shortlist.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
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

// Dot products of halves of codes, as they are stored, and of a query.
void plain_dots(const uint8_t* codes, int64_t n, const int8_t* query, int32_t* out) {
    for (int64_t i = 0; i < n; ++i) {
        int32_t sum = 0;
        for (int64_t k = 0; k < kCodeHalf; ++k) sum += codes[i * kCodeHalf + k] * query[k];
        out[i] = sum;
    }
}

#ifdef SSLMOT_AVX2
#define SSLMOT_TARGET __attribute__((target("avx2")))

// A lambda in the function below would be compiled without AVX2.
SSLMOT_TARGET inline __m256i products(const uint8_t* code, __m256i query) {
    const __m256i stored = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(code));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(stored, query), _mm256_set1_epi16(1));
}

// Compilers find no use for vpmaddubsw, which makes this three times as fast.
SSLMOT_TARGET void avx2_dots(const uint8_t* codes, int64_t n, const int8_t* query, int32_t* out) {
    const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query));
    const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query + 32));
    for (int64_t i = 0; i < n; ++i) {
        const uint8_t* code = codes + i * kCodeHalf;
        const __m256i sums = _mm256_add_epi32(products(code, first), products(code + 32, second));
        __m128i four =
            _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
        out[i] = _mm_cvtsi128_si32(four);
    }
}
#endif

using Dots = void (*)(const uint8_t*, int64_t, const int8_t*, int32_t*);

Dots dots_of_this_machine() {
#ifdef SSLMOT_AVX2
    if (__builtin_cpu_supports("avx2")) return avx2_dots;
#endif
    return plain_dots;
}

// Keep the best `size`; return the least score of these.
int32_t keep_best(std::vector<Found>& found, size_t size) {
    const auto last = found.begin() + static_cast<std::ptrdiff_t>(size) - 1;
    std::nth_element(found.begin(), last, found.end(),
                     [](const Found& a, const Found& b) { return a.score > b.score; });
    found.resize(size);
    return found.back().score;
}

int32_t sum(const int8_t* numbers) {
    int32_t total = 0;
    for (int64_t k = 0; k < kCodeHalf; ++k) total += numbers[k];
    return total;
}

float norm(const int8_t* numbers) {
    int32_t squares = 0;
    for (int64_t k = 0; k < kCodeHalf; ++k) squares += numbers[k] * numbers[k];
    return std::sqrt(static_cast<float>(squares));
}

}  // namespace

void nearest_codes(const Codes& codes, const int8_t* queries, int64_t n_queries, int64_t size,
                   int64_t* found) {
    static const Dots dots = dots_of_this_machine();
    const auto most = static_cast<size_t>(size);
    std::vector<Query> all;
    for (int64_t q = 0; q < n_queries; ++q) {
        const int8_t *head = queries + 2 * q * kCodeHalf, *tail = head + kCodeHalf;
        all.push_back({head, tail, kCodeZero * sum(head), kCodeZero * sum(tail), norm(tail)});
    }
    std::vector<int32_t> scores(static_cast<size_t>(kBlock));
    for (int64_t begin = 0; begin < codes.n; begin += kBlock) {
        const int64_t block = std::min(kBlock, codes.n - begin);
        for (Query& query : all) {
            dots(codes.head + begin * kCodeHalf, block, query.head, scores.data());
            for (int64_t i = 0; i < block; ++i) {
                const int64_t code = begin + i;
                int32_t score = scores[static_cast<size_t>(i)] - query.head_zero;
                // Cauchy-Schwarz; 1 more than any rounding of it.
                const float rest = query.tail_norm * codes.tail_norms[code] + 1.0F;
                if (static_cast<float>(score) + rest <= static_cast<float>(query.least)) continue;
                int32_t more = 0;
                dots(codes.tail + code * kCodeHalf, 1, query.tail, &more);
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
