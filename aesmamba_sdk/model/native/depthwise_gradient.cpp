// The arithmetic of a depthwise convolution's gradients for one instruction set; compiled as
// scan.cpp is.
//
// One vector of channels goes through an image from its top to its bottom. Three lines of the image
// and of the gradient of what SiLU reads lie in a desk, with zeros around them, where the first-level
// cache has them: the convolution is computed anew instead of being kept, and nothing but dx is
// written to memory.
#include "depthwise.h"

#include "vector_math.h"

namespace {

constexpr int SIDE = 3, TAPS = SIDE * SIDE;

// The derivative of z / (1 + exp(-z)); far below, where it is 0 to all digits, as at -87.
ALWAYS_INLINE Vec silu_slope(Vec z) {
  const Vec low = at_least(z, -87.f);
  const Vec sigmoid = reciprocal(1.f + exp2(low * -LOG2_E));
  return sigmoid * (1.f + low * (1.f - sigmoid));
}

// Lines of vectors, the last three of which are kept, each between two zeros.
struct Lines {
  float* memory;
  int64_t vectors;  // of a line with its zeros

  float* line(int64_t i) const { return memory + (i + SIDE) % SIDE * vectors * W; }
  void clear(int64_t i) const {
    for (int64_t x = 0; x < vectors; x++) store(line(i) + x * W, Vec{});
  }
};

// A vector of channels, or PART of one.
template <bool PART>
struct Channels {
  int64_t first;
  int some;

  Vec read(const float* p) const { return PART ? load_some(p + first, some) : load(p + first); }
  void write(float* p, Vec v) const {
    if (PART)
      store_some(p + first, v, some);
    else
      store(p + first, v);
  }
};

struct Sums {
  Vec weight[TAPS], bias;
};

// What the line `i` adds to the sums, and the gradient of what SiLU reads there.
template <bool PART>
void lower_line(const DepthwiseGradient& d, const Channels<PART>& c, const float* dy, int64_t i,
                const Lines& images, const Lines& slopes, Sums& sums) {
  Vec weight[TAPS], total[TAPS], bias = d.bias ? c.read(d.bias) : Vec{}, rest = sums.bias;
  UNROLL for (int tap = 0; tap < TAPS; tap++) {
    weight[tap] = c.read(d.weight + tap * d.channels);
    total[tap] = sums.weight[tap];
  }
  const float* rows[SIDE] = {images.line(i - 1), images.line(i), images.line(i + 1)};
  float* out = slopes.line(i) + W;
  const int64_t line = d.width * d.channels;
  for (int64_t x = 0; x < d.width; x++) {
    Vec value[TAPS], part[SIDE] = {bias, Vec{}, Vec{}};
    UNROLL for (int row = 0; row < SIDE; row++) UNROLL
      for (int k = 0; k < SIDE; k++) {
        value[row * SIDE + k] = load(rows[row] + (x + k) * W);
        part[row] += value[row * SIDE + k] * weight[row * SIDE + k];
      }
    const Vec z = part[0] + part[1] + part[2];
    __builtin_prefetch(dy + line + x * d.channels + c.first, 0, 3);
    const Vec dz = c.read(dy + x * d.channels) * silu_slope(z);
    store(out + x * W, dz);
    rest += dz;
    UNROLL for (int tap = 0; tap < TAPS; tap++) total[tap] += dz * value[tap];
  }
  UNROLL for (int tap = 0; tap < TAPS; tap++) sums.weight[tap] = total[tap];
  sums.bias = rest;
}

// A line of dx: of what each pixel was multiplied with.
template <bool PART>
void input_line(const DepthwiseGradient& d, const Channels<PART>& c, int64_t i, const Lines& slopes,
                float* dx) {
  Vec weight[TAPS];
  UNROLL for (int tap = 0; tap < TAPS; tap++)
    weight[tap] = c.read(d.weight + (TAPS - 1 - tap) * d.channels);
  const float* rows[SIDE] = {slopes.line(i - 1), slopes.line(i), slopes.line(i + 1)};
  for (int64_t x = 0; x < d.width; x++) {
    __builtin_prefetch(dx + (d.width + x) * d.channels + c.first, 1, 3);
    Vec part[SIDE]{};
    UNROLL for (int row = 0; row < SIDE; row++) UNROLL
      for (int k = 0; k < SIDE; k++)
        part[row] += load(rows[row] + (x + k) * W) * weight[row * SIDE + k];
    c.write(dx + x * d.channels, part[0] + part[1] + part[2]);
  }
}

// A line of the image into the desk.
template <bool PART>
void copy_line(const DepthwiseGradient& d, const Channels<PART>& c, const float* x, float* line) {
  for (int64_t i = 0; i < d.width; i++) {
    __builtin_prefetch(x + (d.width + i) * d.channels + c.first, 0, 3);
    store(line + (i + 1) * W, c.read(x + i * d.channels));
  }
}

template <bool PART>
void image(const DepthwiseGradient& d, int64_t index, const Channels<PART>& c, float* desk) {
  const int64_t line = d.width * d.channels, start = index * d.height * line;
  const Lines images{desk, d.width + 2}, slopes{desk + SIDE * (d.width + 2) * W, d.width + 2};
  for (int64_t i = 0; i < SIDE; i++) images.clear(i), slopes.clear(i);
  Sums sums{};
  copy_line(d, c, d.x + start, images.line(0));
  for (int64_t i = 0; i <= d.height; i++) {
    if (i < d.height) {
      if (i + 1 < d.height)
        copy_line(d, c, d.x + start + (i + 1) * line, images.line(i + 1));
      else
        images.clear(i + 1);
      lower_line(d, c, d.dy + start + i * line, i, images, slopes, sums);
    } else {
      slopes.clear(i);
    }
    if (d.dx && i) input_line(d, c, i - 1, slopes, d.dx + start + (i - 1) * line);
  }
  float* out = d.sums + index * (TAPS + 1) * d.channels;
  for (int tap = 0; tap < TAPS; tap++) c.write(out + tap * d.channels, sums.weight[tap]);
  c.write(out + TAPS * d.channels, sums.bias);
}

void images(const DepthwiseGradient& d, int64_t index, int64_t first, int64_t end, float* desk) {
  for (; first < end; first += W) {
    const int64_t left = d.channels - first;
    if (left < W)
      image<true>(d, index, {first, int(left)}, desk);
    else
      image<false>(d, index, {first, W}, desk);
  }
}

}  // namespace

#define JOIN(a, b) a##b
#define FUNCTION(name) JOIN(depthwise_gradient_, name)

extern "C" void FUNCTION(SCAN_ISA)(const DepthwiseGradient& d, int64_t image, int64_t first,
                                   int64_t end, float* desk) {
  images(d, image, first, end, desk);
}
