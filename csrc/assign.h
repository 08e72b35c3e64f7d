// Minimum-cost matching with a limit, from a dense matrix or from candidate pairs. Knows nothing
// of tracking.
//
// Every row left out costs `max_cost`, so no pair that costs as much or more is ever made, and the
// choice of pairs minimises
//     sum of matched costs + max_cost * rows left out.
// With costs clamped at max_cost this is the rectangular assignment problem.
//
// Jonker and Volgenant (1987): bids settle most rows, shortest augmenting paths the rest. Both
// follow candidate pairs only and so never leave the connected component of the row they start
// from: the sizes of the components, not the matrix's, decide the cost. A matrix with no pair to
// leave out is solved row by row instead (assign_dense.h).
//
// Costs and limits from 1e300 on count as infinite: such a pair is forbidden. Both functions throw
// std::invalid_argument, with row and column, for a cost that is NaN or not above -1e300. Work
// space is kept for the thread's next call.
#pragma once

#include <cstdint>

namespace sslmot {

// cost: (rows, columns), contiguous. match: out, (rows), the column of each row or -1. `max_cost`
// may be infinite: then as many pairs as possible are made, at the least cost (to the precision of
// a double of the largest cost times the number of rows).
template <class Cost>
void assign_dense(const Cost* cost, int64_t rows, int64_t columns, double max_cost, int32_t* match);

// The pairs of row i are column[row_begin[i] .. row_begin[i + 1]), in any order, none twice.
template <class Cost>
void assign_sparse(const int32_t* row_begin, const int32_t* column, const Cost* cost, int64_t rows,
                   int64_t columns, double max_cost, int32_t* match);

}  // namespace sslmot
