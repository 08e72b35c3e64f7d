#include "detections.h"

#include <cmath>

namespace sslmot {

template <class Number>
int64_t read_detections(const Number* rows, int64_t n, int64_t width, Detections& out) {
    const auto count = static_cast<size_t>(n);
    out.boxes.resize(4 * count), out.scores.resize(count), out.classes.resize(count);
    float *const boxes = out.boxes.data(), *const scores = out.scores.data();
    int32_t* const classes = out.classes.data();
    for (int64_t i = 0; i < n; ++i) {
        const Number* row = rows + width * i;
        bool well = true;
        for (int64_t k = 0; k < width; ++k)  // false for a NaN too
            well &= std::fabs(static_cast<double>(row[k])) <= kLargestNumber;
        if (!well) return i;
        float* box = boxes + 4 * i;
        for (int64_t k = 0; k < 4; ++k) box[k] = static_cast<float>(row[k]);
        scores[i] = width > 4 ? static_cast<float>(row[4]) : 1.0F;
        classes[i] = width > 5 ? static_cast<int32_t>(row[5]) : 0;
        const bool whole = width < 6 || static_cast<Number>(classes[i]) == row[5];
        if (box[2] < box[0] || box[3] < box[1] || !whole) return i;
    }
    return -1;
}

template int64_t read_detections<float>(const float*, int64_t, int64_t, Detections&);
template int64_t read_detections<double>(const double*, int64_t, int64_t, Detections&);

}  // namespace sslmot
