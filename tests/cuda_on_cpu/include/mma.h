// Stands in for CUDA's header: squares of 16 x 16 halves, multiplied by a warp with float32 sums.
// The lanes share the numbers of a fragment, in an order that is nobody's business.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major };

namespace detail {

constexpr int kSide = 16, kWarp = cuda_on_cpu::kWarp, kShare = kSide * kSide / kWarp;

inline int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
inline float value(__half x) { return __half2float(x); }
inline float value(__nv_bfloat16 x) { return __bfloat162float(x); }

inline void converge(int line) {
    cuda_on_cpu::meet(line, cuda_on_cpu::kWholeWarp, nullptr, [](void* const*) {});
}

// What CUDA demands of a square in memory.
inline void expect_fit(const void* first, unsigned stride, size_t element) {
    if (reinterpret_cast<uintptr_t>(first) % 32 != 0 || stride * element % 16 != 0)
        cuda_on_cpu::fail("fragment: expected memory aligned to 32 bytes, and rows to 16");
}

}  // namespace detail

template <class Use, int kM, int kN, int kK, class T, class Layout = void>
struct fragment {
    static_assert(kM == detail::kSide && kN == detail::kSide && kK == detail::kSide);
    T x[detail::kShare];
    fragment() { std::memset(x, 0xFF, sizeof x); }
};

template <class Use, int kM, int kN, int kK, class T, class Layout>
void fill_fragment(fragment<Use, kM, kN, kK, T, Layout>& f, T value) {
    for (T& x : f.x) x = value;
}

template <class Use, int kM, int kN, int kK, class T, class Layout>
void load_matrix_sync(fragment<Use, kM, kN, kK, T, Layout>& f, const T* first, unsigned stride,
                      int line = __builtin_LINE()) {
    constexpr bool by_row = std::is_same_v<Layout, row_major>;
    detail::expect_fit(first, stride, sizeof(T));
    detail::converge(line);
    for (int i = 0; i < detail::kShare; ++i) {
        const int at = i * detail::kWarp + detail::lane();
        const int row = at / detail::kSide, col = at % detail::kSide;
        const int begin = by_row ? row : col, k = by_row ? col : row;
        f.x[i] = first[begin * static_cast<int>(stride) + k];
    }
}

template <int kM, int kN, int kK>
void store_matrix_sync(float* first, const fragment<accumulator, kM, kN, kK, float>& f,
                       unsigned stride, layout_t, int line = __builtin_LINE()) {
    detail::expect_fit(first, stride, sizeof(float));
    detail::converge(line);
    for (int i = 0; i < detail::kShare; ++i) {
        const int at = i * detail::kWarp + detail::lane();
        first[at / detail::kSide * static_cast<int>(stride) + at % detail::kSide] = f.x[i];
    }
}

template <int kM, int kN, int kK, class T>
void mma_sync(fragment<accumulator, kM, kN, kK, float>& d,
              const fragment<matrix_a, kM, kN, kK, T, row_major>& a,
              const fragment<matrix_b, kM, kN, kK, T, col_major>& b,
              const fragment<accumulator, kM, kN, kK, float>& c, int line = __builtin_LINE()) {
    struct Lane {
        float* d;
        const T *a, *b;
        const float* c;
    } mine{d.x, a.x, b.x, c.x};
    cuda_on_cpu::meet(line, cuda_on_cpu::kWholeWarp, &mine, [](void* const* lanes) {
        constexpr int n = detail::kSide;
        float x[n][n], y[n][n], sum[n][n];
        for (int at = 0; at < n * n; ++at) {
            const int i = at / detail::kWarp;
            const auto* lane = static_cast<const Lane*>(lanes[at % detail::kWarp]);
            x[at / n][at % n] = detail::value(lane->a[i]);
            y[at / n][at % n] = detail::value(lane->b[i]);
            sum[at / n][at % n] = lane->c[i];
        }
        for (int row = 0; row < n; ++row)
            for (int k = 0; k < n; ++k)
                for (int col = 0; col < n; ++col) sum[row][col] += x[row][k] * y[k][col];
        for (int at = 0; at < n * n; ++at)
            static_cast<const Lane*>(lanes[at % detail::kWarp])->d[at / detail::kWarp] =
                sum[at / n][at % n];
    });
}

}  // namespace nvcuda::wmma
