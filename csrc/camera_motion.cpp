#include "camera_motion.h"

#include "motion.h"

namespace sslmot {

namespace {

void turn(const CameraMotion& by, float* point) {
    const float x = point[0], y = point[1];
    point[0] = x * by.linear[0][0] + y * by.linear[0][1];
    point[1] = x * by.linear[1][0] + y * by.linear[1][1];
}

}  // namespace

void move_state(const CameraMotion& by, float* state, size_t numbers) {
    // Rows of 4 numbers: value, velocity, and three (co)variances. The centre and its velocity are
    // mapped by `linear`, every size is multiplied by the zoom, (co)variances by its square.
    for (size_t k = 0; k < numbers; ++k) {
        const size_t row = k / 4, column = k % 4;
        if (row < 2 && column < 2) continue;  // turned below
        state[k] *= by.zoom;
        if (row >= 2) state[k] *= by.zoom;
    }
    turn(by, state);
    state[0] += by.shift[0], state[1] += by.shift[1];
    if (numbers > 4) turn(by, state + 4);
}

void move_box(const CameraMotion& by, float* xyxy) {
    float box[4];
    to_centre(xyxy, box);
    move_state(by, box, 4);
    to_corners(box, xyxy);
}

}  // namespace sslmot
