// The arithmetic of layer norm for one instruction set; compiled as scan.cpp is.
#include "norm.h"
#include "vector_math.h"

namespace {

// One row; X and Y are float or BFloat16.
template <typename X, typename Y>
struct Row {
  const X* x;
  Y* y;

  Row(const Norm& n, int64_t index)
      : x(static_cast<const X*>(n.x) + index * n.channels),
        y(static_cast<Y*>(n.y) + index * n.channels) {}
};

// Rows that fit into registers: FULL vectors and, if PART, some floats more. Zeros beyond a row's
// end add nothing to its mean; `inside` keeps them from its variance.
template <typename X, typename Y, int FULL, bool PART>
void rows_in_registers(const Norm& n, int64_t first, int64_t end) {
  constexpr int ALL = FULL + PART;
  const int rest = int(n.channels - FULL * W);
  const float channels = float(n.channels);
  Vec weight[ALL], bias[ALL], z[ALL];
  UNROLL for (int v = 0; v < FULL; v++) {
    weight[v] = load(n.weight + v * W);
    bias[v] = load(n.bias + v * W);
  }
  if (PART) {
    weight[FULL] = load_some(n.weight + FULL * W, rest);
    bias[FULL] = load_some(n.bias + FULL * W, rest);
  }
  const Vec inside = first_ones(rest);
  for (int64_t i = first; i < end; i++) {
    const Row<X, Y> r(n, i);
    UNROLL for (int v = 0; v < FULL; v++) z[v] = load(r.x + v * W);
    if (PART) z[FULL] = load_some(r.x + FULL * W, rest);
    Vec total = z[0];
    UNROLL for (int v = 1; v < ALL; v++) total += z[v];
    const float mean = sum(total) / channels;
    UNROLL for (int v = 0; v < ALL; v++) z[v] -= mean;
    if (PART) z[FULL] *= inside;
    total = z[0] * z[0];
    UNROLL for (int v = 1; v < ALL; v++) total += z[v] * z[v];
    const float scale = 1.f / __builtin_sqrtf(sum(total) / channels + n.epsilon);
    UNROLL for (int v = 0; v < ALL; v++) z[v] = z[v] * scale * weight[v] + bias[v];
    UNROLL for (int v = 0; v < FULL; v++) store(r.y + v * W, z[v]);
    if (PART) store_some(r.y + FULL * W, z[FULL], rest);
  }
}

// The sum of what `term` gives for each vector of a row, by its offset, in four sums side by side.
template <typename Term>
ALWAYS_INLINE float sum_over(int64_t floats, Term term) {
  Vec total[4] = {};
  int64_t c = 0;
  for (; c + 4 * W <= floats; c += 4 * W) UNROLL
    for (int i = 0; i < 4; i++) total[i] += term(c + i * W);
  for (; c < floats; c += W) total[0] += term(c);
  return sum((total[0] + total[1]) + (total[2] + total[3]));
}

// Rows of any width, read three times: they stay in the first-level cache.
template <typename X, typename Y>
void rows_in_memory(const Norm& n, int64_t first, int64_t end) {
  const int64_t full = n.channels / W * W;
  const int rest = int(n.channels - full);
  const float channels = float(n.channels);
  const Vec inside = first_ones(rest);
  for (int64_t i = first; i < end; i++) {
    const Row<X, Y> r(n, i);
    const Vec tail = load_some(r.x + full, rest);
    const float mean = (sum_over(full, [&](int64_t c) { return load(r.x + c); }) + sum(tail)) / channels;
    const Vec tail_off = (tail - mean) * inside;
    const float squares = sum_over(full, [&](int64_t c) {
      const Vec off = load(r.x + c) - mean;
      return off * off;
    });
    const float variance = (squares + sum(tail_off * tail_off)) / channels;
    const float scale = 1.f / __builtin_sqrtf(variance + n.epsilon);
    for (int64_t c = 0; c < full; c += W)
      store(r.y + c, (load(r.x + c) - mean) * scale * load(n.weight + c) + load(n.bias + c));
    store_some(r.y + full,
               tail_off * scale * load_some(n.weight + full, rest) + load_some(n.bias + full, rest),
               rest);
  }
}

// The widths of the models' early, large maps have a function each.
template <typename X, typename Y>
void rows(const Norm& n, int64_t first, int64_t end) {
  const int64_t vectors = n.channels / W;
  if (n.channels % W) {
    if (vectors == 1) return rows_in_registers<X, Y, 1, true>(n, first, end);
    return rows_in_memory<X, Y>(n, first, end);
  }
  switch (vectors) {
    case 3: return rows_in_registers<X, Y, 3, false>(n, first, end);
    case 6: return rows_in_registers<X, Y, 6, false>(n, first, end);
    default: return rows_in_memory<X, Y>(n, first, end);
  }
}

}  // namespace

#define JOIN(a, b) a##b
#define FUNCTION(name) JOIN(normalize_, name)

extern "C" void FUNCTION(SCAN_ISA)(const Norm& n, int64_t first, int64_t end) {
  if (n.x_bfloat16) {
    if (n.y_bfloat16) return rows<BFloat16, BFloat16>(n, first, end);
    return rows<BFloat16, float>(n, first, end);
  }
  if (n.y_bfloat16) return rows<float, BFloat16>(n, first, end);
  return rows<float, float>(n, first, end);
}
