// The arithmetic of depthwise convolution for one instruction set; compiled as scan.cpp is.
#include "depthwise.h"

#include "vector_math.h"

namespace {

constexpr int SIDE = 3;
constexpr int TOGETHER = 4;  // pixels of a line that share the reading of weights and neighbours

// z / (1 + exp(-z)); below -87, where it is 1e-36, as there.
ALWAYS_INLINE Vec silu(Vec z) {
  const Vec low = at_least(z, -87.f);
  return low * reciprocal(1.f + exp2(low * -LOG2_E));
}

// Where a pixel of the result and its upper left neighbour are, and how far it is from each pixel
// to the next, and to the one below.
struct Place {
  const float *x, *weight;  // of the first line that there is
  float* y;
  int64_t pixel, line;
};

// N pixels side by side, W channels from `c` on, or `some` of them; ROWS lines of neighbours, and
// columns from FIRST to before END of the N + 2.
template <int N, int ROWS, int FIRST, int END, bool PART>
ALWAYS_INLINE void pixels(const Place& at, const float* bias, int64_t c, int some) {
  const auto read = [=](const float* p) { return PART ? load_some(p, some) : load(p); };
  Vec sum[N];
  UNROLL for (int i = 0; i < N; i++) sum[i] = bias ? read(bias + c) : Vec{};
  UNROLL for (int row = 0; row < ROWS; row++) {
    const float* x = at.x + row * at.line + c;
    Vec weight[SIDE];
    UNROLL for (int i = 0; i < SIDE; i++) weight[i] = read(at.weight + (row * SIDE + i) * at.pixel + c);
    UNROLL for (int column = FIRST; column < END; column++) {
      const Vec value = read(x + column * at.pixel);
      UNROLL for (int i = 0; i < N; i++)
        if (column >= i && column < i + SIDE) sum[i] += value * weight[column - i];
    }
  }
  UNROLL for (int i = 0; i < N; i++) {
    float* y = at.y + i * at.pixel + c;
    if (PART)
      store_some(y, silu(sum[i]), some);
    else
      store(y, silu(sum[i]));
  }
}

template <int N, int ROWS, int FIRST, int END>
void all_channels(const Place& place, const float* bias) {
  const Place at = place;
  int64_t c = 0;
  for (; c + W <= at.pixel; c += W) pixels<N, ROWS, FIRST, END, false>(at, bias, c, W);
  if (c < at.pixel) pixels<N, ROWS, FIRST, END, true>(at, bias, c, int(at.pixel - c));
}

// A line of the result, and ROWS lines of the image from `x` on.
template <int ROWS>
void one_line(const Depthwise& d, const float* x, const float* weight, float* y) {
  Place at{x - d.channels, weight, y, d.channels, d.width * d.channels};
  const auto go = [&](int64_t pixels) { at.x += pixels * at.pixel, at.y += pixels * at.pixel; };
  if (d.width == 1) return all_channels<1, ROWS, 1, 2>(at, d.bias);
  all_channels<1, ROWS, 1, 3>(at, d.bias);
  go(1);
  int64_t left = d.width - 2;
  for (; left >= TOGETHER; left -= TOGETHER, go(TOGETHER))
    all_channels<TOGETHER, ROWS, 0, TOGETHER + 2>(at, d.bias);
  for (; left > 0; left--, go(1)) all_channels<1, ROWS, 0, 3>(at, d.bias);
  all_channels<1, ROWS, 0, 2>(at, d.bias);
}

void lines(const Depthwise& d, int64_t first, int64_t end) {
  const int64_t line = d.width * d.channels;
  for (int64_t i = first; i < end; i++) {
    const bool top = i % d.height == 0, bottom = i % d.height == d.height - 1;
    const float* x = d.x + (top ? i : i - 1) * line;
    const float* weight = d.weight + (top ? SIDE * d.channels : 0);
    float* y = d.y + i * line;
    switch (SIDE - top - bottom) {
      case 1: one_line<1>(d, x, weight, y); break;
      case 2: one_line<2>(d, x, weight, y); break;
      default: one_line<3>(d, x, weight, y);
    }
  }
}

}  // namespace

#define JOIN(a, b) a##b
#define FUNCTION(name) JOIN(convolve_depthwise_, name)

extern "C" void FUNCTION(SCAN_ISA)(const Depthwise& d, int64_t first, int64_t end) {
  lines(d, first, end);
}
