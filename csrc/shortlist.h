// The nearest of many short codes: a first look at the samples of a large gallery.
#pragma once

#include <cstdint>

namespace sslmot {

constexpr int64_t kHead = 32, kTail = 96;  // numbers of the two parts of a code
constexpr int kCodeZero = 128;             // what stands for 0 in a stored code
constexpr int kLargestQuery = 63;          // of a query's numbers: sums of two products fit 16 bits

// Codes, as two tables: most codes need no look at their tails.
struct Codes {
    const uint8_t* head;         // (n, kHead), kCodeZero stands for 0
    const uint8_t* tail;         // (n, kTail), alike
    const uint16_t* tail_norms;  // (n), of the tails, zero being 0; or more
    int64_t n;
};

// For each of `n_queries` queries, (n_queries, kHead + kTail), find the `size` codes whose dot
// products with it are largest: found (n_queries, size), in no order. Of codes with the same dot
// product, any may be found. Expects 0 < size <= codes.n.
void nearest_codes(const Codes& codes, const int8_t* queries, int64_t n_queries, int64_t size,
                   int64_t* found);

}  // namespace sslmot
