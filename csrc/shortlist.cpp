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

constexpr int64_t kBlock = 4096;  // codes that stay in the cache for all queries
constexpr int64_t kRounds = 8;    // a round takes every kRounds-th block
constexpr int32_t kNone = std::numeric_limits<int32_t>::min() / 2;  // below any score

struct Found {
    int32_t score;
    int64_t code;
};

struct Query {
    const int8_t* head;
    const int8_t* tail;
    int32_t head_zero, tail_zero;  // the dot products with a code of zeros
    int32_t tail_norm;             // or more
    std::vector<Found> best{};
    int32_t least = kNone;  // a score that does not suffice
};

// The dot product of a part of a code, as it is stored, and of a query.
template <int64_t kNumbers>
int32_t plain_dot(const uint8_t* code, const int8_t* query) {
    int32_t sum = 0;
    for (int64_t k = 0; k < kNumbers; ++k) sum += code[k] * query[k];
    return sum;
}

int32_t plain_tail(const uint8_t* code, const int8_t* query) {
    return plain_dot<kTail>(code, query);
}

// Find which of n codes may have a score above the query's least, by Cauchy-Schwarz. Write the
// indices and the scores of the heads alone; return how many.
int64_t plain_filter(const uint8_t* heads, const uint16_t* tail_norms, int64_t n,
                     const Query& query, Found* found) {
    const Found* const begin = found;
    for (int64_t i = 0; i < n; ++i) {
        const int32_t score = plain_dot<kHead>(heads + i * kHead, query.head) - query.head_zero;
        if (score + query.tail_norm * tail_norms[i] > query.least) *found++ = {score, i};
    }
    return found - begin;
}

#ifdef SSLMOT_AVX2
// Compilers find no use for vpmaddubsw, which makes this three times as fast.
__attribute__((target("avx2"))) inline __m256i products(const uint8_t* code, const int8_t* query) {
    const __m256i stored = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(code));
    const __m256i asked = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(stored, asked), _mm256_set1_epi16(1));
}

__attribute__((target("avx2"))) int32_t avx2_tail(const uint8_t* code, const int8_t* query) {
    __m256i sums = products(code, query);
    for (int64_t k = 32; k < kTail; k += 32)
        sums = _mm256_add_epi32(sums, products(code + k, query + k));
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtsi128_si32(four);
}

// As plain_filter, of 8 codes at once.
__attribute__((target("avx2"))) int64_t avx2_filter(const uint8_t* heads,
                                                    const uint16_t* tail_norms, int64_t n,
                                                    const Query& query, Found* found) {
    static_assert(kHead == 32, "one register a head");
    const Found* const begin = found;
    const __m256i zero = _mm256_set1_epi32(query.head_zero);
    const __m256i least = _mm256_set1_epi32(query.least);
    const __m256i norm = _mm256_set1_epi32(query.tail_norm);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const auto four = [&](int64_t first) __attribute__((target("avx2"))) {
            const uint8_t* code = heads + (i + first) * kHead;
            return _mm256_hadd_epi32(
                _mm256_hadd_epi32(products(code, query.head), products(code + kHead, query.head)),
                _mm256_hadd_epi32(products(code + 2 * kHead, query.head),
                                  products(code + 3 * kHead, query.head)));
        };
        const __m256i low = four(0), high = four(4);  // halves of four sums each
        const __m256i dots = _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20),
                                              _mm256_permute2x128_si256(low, high, 0x31));
        const __m256i scores = _mm256_sub_epi32(dots, zero);
        const __m256i norms = _mm256_cvtepu16_epi32(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(tail_norms + i)));
        const __m256i most = _mm256_add_epi32(scores, _mm256_mullo_epi32(norm, norms));
        const __m256i enough = _mm256_cmpgt_epi32(most, least);
        auto left = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(enough)));
        if (left == 0) continue;
        alignas(32) int32_t score[8];
        _mm256_store_si256(reinterpret_cast<__m256i*>(score), scores);
        for (; left != 0; left &= left - 1) {
            const int one = __builtin_ctz(left);
            *found++ = {score[one], i + one};
        }
    }
    const int64_t n_found = plain_filter(heads + i * kHead, tail_norms + i, n - i, query, found);
    for (int64_t k = 0; k < n_found; ++k) found[k].code += i;
    return found - begin + n_found;
}
#endif

struct Kernels {
    int64_t (*filter)(const uint8_t*, const uint16_t*, int64_t, const Query&, Found*);
    int32_t (*tail)(const uint8_t*, const int8_t*);
};

Kernels kernels_of_this_machine() {
#ifdef SSLMOT_AVX2
    if (__builtin_cpu_supports("avx2")) return {avx2_filter, avx2_tail};
#endif
    return {plain_filter, plain_tail};
}

// Keep the best `size`; return the least score of these.
int32_t keep_best(std::vector<Found>& found, int64_t size) {
    const auto last = found.begin() + static_cast<std::ptrdiff_t>(size) - 1;
    std::nth_element(found.begin(), last, found.end(),
                     [](const Found& a, const Found& b) { return a.score > b.score; });
    found.resize(static_cast<size_t>(size));
    return found.back().score;
}

// Collect at least the best `size` codes of each query. With `guess`, a query may get fewer: early
// on, the list is kept short, as if the best were spread evenly. That spares most looks at tails.
void scan(const Codes& codes, const std::vector<Query*>& queries, int64_t size, bool guess) {
    static const Kernels kernels = kernels_of_this_machine();
    std::vector<Found> candidates(static_cast<size_t>(kBlock));
    int64_t seen = 0;
    // Rounds, because neighbors in the table may be alike.
    for (int64_t round = 0; round < kRounds; ++round) {
        for (int64_t begin = round * kBlock; begin < codes.n; begin += kRounds * kBlock) {
            const int64_t block = std::min(kBlock, codes.n - begin);
            seen += block;
            const int64_t kept = guess ? std::min(size, 3 * size * seen / codes.n / 2 + 32) : size;
            for (Query* query : queries) {
                const int64_t n =
                    kernels.filter(codes.head + begin * kHead, codes.tail_norms + begin, block,
                                   *query, candidates.data());
                // Without a branch on what is read: so the processor reads several tails at once.
                for (int64_t i = 0; i < n; ++i) {
                    Found& one = candidates[static_cast<size_t>(i)];
                    one.code += begin;
                    one.score +=
                        kernels.tail(codes.tail + one.code * kTail, query->tail) - query->tail_zero;
                }
                for (int64_t i = 0; i < n; ++i) {
                    const Found& one = candidates[static_cast<size_t>(i)];
                    if (one.score <= query->least) continue;
                    query->best.push_back(one);
                    if (static_cast<int64_t>(query->best.size()) >= kept + kept / 2)
                        query->least = keep_best(query->best, kept);
                }
            }
        }
    }
}

int32_t sum(const int8_t* numbers, int64_t n) { return std::accumulate(numbers, numbers + n, 0); }

int32_t norm_or_more(const int8_t* numbers, int64_t n) {
    const int32_t square = std::inner_product(numbers, numbers + n, numbers, 0);
    return static_cast<int32_t>(std::sqrt(static_cast<float>(square))) + 1;
}

}  // namespace

void nearest_codes(const Codes& codes, const int8_t* queries, int64_t n_queries, int64_t size,
                   int64_t* found) {
    std::vector<Query> all;
    for (int64_t q = 0; q < n_queries; ++q) {
        const int8_t *head = queries + q * (kHead + kTail), *tail = head + kHead;
        all.push_back({head, tail, kCodeZero * sum(head, kHead), kCodeZero * sum(tail, kTail),
                       norm_or_more(tail, kTail)});
    }
    std::vector<Query*> open;
    for (Query& query : all) open.push_back(&query);
    scan(codes, open, size, true);
    // If a list has `size` codes, no code that was dropped is better.
    const auto is_full = [&](const Query* query) {
        return static_cast<int64_t>(query->best.size()) >= size;
    };
    open.erase(std::remove_if(open.begin(), open.end(), is_full), open.end());
    for (Query* query : open) {
        query->best.clear();
        query->least = kNone;
    }
    if (!open.empty()) scan(codes, open, size, false);
    for (Query& query : all) {
        keep_best(query.best, size);
        for (const Found& one : query.best) *found++ = one.code;
    }
}

}  // namespace sslmot
