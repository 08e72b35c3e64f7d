// Minimum-cost matching of every row of a full matrix.
#pragma once

#include <cstdint>

namespace sslmot {

// cost: (rows, columns), contiguous, numbers between -1e300 and 1e300; rows <= columns. match: out,
// (rows), the column of each row. Ties are broken the same way every time.
//
// The method of Jonker and Volgenant (1987): column minima and bids settle most rows, shortest
// augmenting paths the rest. Each thread keeps its work space for the next call.
template <class Cost>
void match_rows(const Cost* cost, int64_t rows, int64_t columns, int32_t* match);

}  // namespace sslmot
