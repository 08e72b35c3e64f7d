// Minimum-cost matching with a gate, from a dense matrix or from candidate pairs. Knows nothing of
// tracking.
//
// Every row left out costs `gate`, so no pair that costs as much or more is ever made, and the
// choice of pairs minimises
//     sum of matched costs + gate * rows left out.
// With costs clamped at the gate this is the rectangular assignment problem.
//
// Shortest augmenting paths (Jonker and Volgenant, 1987). A search follows candidate pairs only, so
// it never leaves the connected component of the row it starts from: components are solved
// independently of each other, and their sizes, not the matrix's, decide the cost.
#pragma once

#include <cstdint>
#include <stdexcept>

namespace sslmot {

// A cost that is NaN or minus infinity. (Plus infinity is legal: that pair is forbidden.)
struct BadCost : std::runtime_error {
    BadCost(int64_t r, int64_t c) : std::runtime_error("cost"), row(r), column(c) {}
    int64_t row, column;
};

// cost: (rows, columns), contiguous. match: out, (rows), the column of each row or -1. `gate` may
// be infinite: then as many pairs as possible are made, at the least cost.
template <class Cost>
void assign_dense(const Cost* cost, int64_t rows, int64_t columns, double gate, int32_t* match);

// The pairs of row i are column[row_begin[i] .. row_begin[i + 1]), in any order, none twice.
template <class Cost>
void assign_sparse(const int32_t* row_begin, const int32_t* column, const Cost* cost, int64_t rows,
                   int64_t columns, double gate, int32_t* match);

}  // namespace sslmot
