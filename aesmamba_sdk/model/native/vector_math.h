// Vectors of one instruction set and the functions applied to them: SCAN_WIDTH floats, in the
// vector types of GCC and clang. Included by the sources of arithmetic alone, and local to each.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

namespace {

constexpr int W = SCAN_WIDTH;
typedef float Vec __attribute__((vector_size(W * 4)));
typedef int32_t Bits __attribute__((vector_size(W * 4)));
// What memory holds: aligned like a float, not like a vector.
typedef float Stored __attribute__((vector_size(W * 4), aligned(4), may_alias));
typedef float Quad __attribute__((vector_size(16)));

ALWAYS_INLINE Vec load(const float* p) { return *reinterpret_cast<const Stored*>(p); }
ALWAYS_INLINE void store(float* p, Vec v) { *reinterpret_cast<Stored*>(p) = v; }
ALWAYS_INLINE Vec all(float value) { return Vec{} + value; }

// Past the caches, to an address that a vector is aligned to. `streamed` comes between the last
// such store and what tells other threads of it.
#if defined(__SSE2__) && SCAN_WIDTH == 16
ALWAYS_INLINE void stream(float* p, Vec v) { _mm512_stream_ps(p, v); }
ALWAYS_INLINE void streamed() { _mm_sfence(); }
#elif defined(__SSE2__) && SCAN_WIDTH == 8
ALWAYS_INLINE void stream(float* p, Vec v) { _mm256_stream_ps(p, v); }
ALWAYS_INLINE void streamed() { _mm_sfence(); }
#else
ALWAYS_INLINE void stream(float* p, Vec v) { store(p, v); }
ALWAYS_INLINE void streamed() {}
#endif

// The first `count` < W floats of a vector; the rest is zero, and memory beyond is not touched.
#if defined(__SSE2__) && SCAN_WIDTH == 16
ALWAYS_INLINE Vec load_some(const float* p, int count) {
  return _mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), p);
}
ALWAYS_INLINE void store_some(float* p, Vec v, int count) {
  _mm512_mask_storeu_ps(p, __mmask16((1u << count) - 1), v);
}
#else
ALWAYS_INLINE Vec load_some(const float* p, int count) {
  Vec v{};
  for (int i = 0; i < count; i++) v[i] = p[i];
  return v;
}
ALWAYS_INLINE void store_some(float* p, Vec v, int count) {
  for (int i = 0; i < count; i++) p[i] = v[i];
}
#endif

// bfloat16 is the upper half of a float32, rounded to the nearest, of two to the even one.
struct BFloat16 {
  uint16_t bits;
};
typedef uint16_t Halves __attribute__((vector_size(W * 2)));
typedef uint32_t Words __attribute__((vector_size(W * 4)));

ALWAYS_INLINE Vec widened(Halves halves) {
  return (Vec)(__builtin_convertvector(halves, Words) << 16);
}
ALWAYS_INLINE Halves rounded(Vec v) {
  const Words bits = (Words)v, even = bits >> 16 & 1;
  const Words quiet_nan = Words{} + 0x7fc0;
  return __builtin_convertvector(v != v ? quiet_nan : (bits + 0x7fff + even) >> 16, Halves);
}
ALWAYS_INLINE Vec load(const BFloat16* p) {
  Halves halves;
  __builtin_memcpy(&halves, p, sizeof halves);
  return widened(halves);
}
ALWAYS_INLINE void store(BFloat16* p, Vec v) {
  const Halves halves = rounded(v);
  __builtin_memcpy(p, &halves, sizeof halves);
}
ALWAYS_INLINE Vec load_some(const BFloat16* p, int count) {
  Halves halves{};
  if (count == W / 2)  // of 24 channels
    __builtin_memcpy(&halves, p, sizeof halves / 2);
  else
    for (int i = 0; i < count; i++) halves[i] = p[i].bits;
  return widened(halves);
}
ALWAYS_INLINE void store_some(BFloat16* p, Vec v, int count) {
  const Halves halves = rounded(v);
  for (int i = 0; i < count; i++) p[i].bits = halves[i];
}

ALWAYS_INLINE Vec first_ones(int count) {
  Vec v{};
  for (int i = 0; i < count; i++) v[i] = 1.f;
  return v;
}

// Both return x where it is NaN, so that a diverged network shows. The instructions of x86 do
// that for their second operand, but compilers do not use them for the expressions.
#if defined(__SSE2__) && SCAN_WIDTH == 16
ALWAYS_INLINE Vec at_least(Vec x, float low) { return _mm512_max_ps(all(low), x); }
ALWAYS_INLINE Vec at_most(Vec x, float high) { return _mm512_min_ps(all(high), x); }
#elif defined(__SSE2__) && SCAN_WIDTH == 8
ALWAYS_INLINE Vec at_least(Vec x, float low) { return _mm256_max_ps(all(low), x); }
ALWAYS_INLINE Vec at_most(Vec x, float high) { return _mm256_min_ps(all(high), x); }
#elif defined(__SSE2__)
ALWAYS_INLINE Vec at_least(Vec x, float low) { return _mm_max_ps(all(low), x); }
ALWAYS_INLINE Vec at_most(Vec x, float high) { return _mm_min_ps(all(high), x); }
#else
ALWAYS_INLINE Vec at_least(Vec x, float low) { return all(low) > x ? all(low) : x; }
ALWAYS_INLINE Vec at_most(Vec x, float high) { return all(high) < x ? all(high) : x; }
#endif

// 1 / x to the last digit but one, for x >= 1: dividing takes several times as long.
#if defined(__SSE2__) && SCAN_WIDTH == 16
ALWAYS_INLINE Vec reciprocal(Vec x) {
  const Vec near = _mm512_rcp14_ps(x);
  return near * (2.f - x * near);
}
#else
ALWAYS_INLINE Vec reciprocal(Vec x) { return 1.f / x; }
#endif

ALWAYS_INLINE float sum(Vec v) {
  Quad q[W / 4];
  __builtin_memcpy(q, &v, sizeof v);
  for (int half = W / 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) q[i] += q[i + half];
  return (q[0][0] + q[0][2]) + (q[0][1] + q[0][3]);
}

constexpr float LOG2_E = 1.44269504f;

// 2^x = power (1 + tail). At x = 0 the tail is exactly 0: a decay that is off by even one unit in
// the last place for a step of zero would compound over the length of the scan.
struct Exp2 {
  Vec power, tail;
};

ALWAYS_INLINE Exp2 exp2_parts(Vec x) {  // -126 <= x <= 127
  // Adding 1.5·2^23 + 127 rounds to an integer and leaves the exponent's bits lowest.
  const float magic = 12583039.f;
  Vec shifted = x + magic;
  Vec r = x - (shifted - magic);
  // Minimax on [-1/2, 1/2] with the linear term held at ln 2; relative error 1.1e-7.
  Vec p = r * 1.33006088e-3f + 9.66969226e-3f;
  p = p * r + 5.55055849e-2f;
  p = p * r + 2.40222827e-1f;
  p = p * r + 6.93147182e-1f;
  return {(Vec)((Bits)shifted << 23), p * r};
}

// Saturates instead of overflowing, as the state would turn into NaN at the next step.
ALWAYS_INLINE Vec exp2(Vec x) {
  Exp2 e = exp2_parts(at_most(at_least(x, -126.f), 127.f));
  return e.power * e.tail + e.power;
}

// log(1 + exp(z)) = max(z, 0) + log1p(exp(-|z|)).
ALWAYS_INLINE Vec softplus(Vec z) {
  Vec magnitude = z < 0.f ? -z : z;
  Exp2 parts = exp2_parts(at_least(magnitude * -LOG2_E, -126.f));
  Vec e = parts.power * parts.tail + parts.power;
  // Minimax of log1p(e)/e on [0, 1]; relative error 3e-8.
  Vec p = e * 5.23240119e-3f - 2.95040105e-2f;
  p = p * e + 7.82238320e-2f;
  p = p * e - 1.36630520e-1f;
  p = p * e + 1.91059053e-1f;
  p = p * e - 2.48429522e-1f;
  p = p * e + 3.33190918e-1f;
  p = p * e - 4.99994934e-1f;
  p = p * e + 9.99999940e-1f;
  return at_least(z, 0.f) + e * p;
}

// The derivative of softplus from its value: sigmoid(z) = 1 - exp(-dt). The subtraction is made
// in parts, so that small steps keep all their digits.
ALWAYS_INLINE Vec softplus_slope(Vec dt) {
  Exp2 e = exp2_parts(at_least(dt * -LOG2_E, -126.f));
  return (1.f - e.power) - e.power * e.tail;
}

}  // namespace
