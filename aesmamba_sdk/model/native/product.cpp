// The arithmetic of matrix products for one instruction set; compiled as scan.cpp is.
//
// A tile of the result stays in registers while it is summed up: for each of the inner indices a
// row of a packed panel, and one number of each of the tile's rows of x. Sums go over the inner
// index in order, in blocks that depend on nothing else: a row's result is the same to the last bit
// whatever rows are beside it and however many threads share the work.
#include "product.h"

#include "vector_math.h"

namespace {

// Tiles that leave a few of the 32, or 16, vector registers to what is multiplied.
#if SCAN_WIDTH == 16 || defined(__aarch64__)
constexpr int ROWS = 8, VECTORS = 3;
#else
constexpr int ROWS = 6, VECTORS = 2;
#endif
constexpr int PANEL = VECTORS * W;
// Inner indices of a block: its part of a panel comes from the second-level cache, where the part
// of x that a thread works on stays, too.
constexpr int64_t BLOCK = 192;
constexpr int64_t STEP = 16, LINE = 16;  // inner indices between prefetches; floats of a cache line

ALWAYS_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Where Phi, the normal distribution, is told: beyond, it is 0 or 1 to all digits that matter.
constexpr float END = 5.5f;

// Phi(z) for |z| <= END: 1/2 and z times a polynomial of z^2, minimax, with an error of 4e-8.
ALWAYS_INLINE Vec phi(Vec z) {
  const Vec t = z * z * (2.f / (END * END)) - 1.f;
  Vec p = t * 5.38081184e-4f - 1.36883074e-3f;
  p = p * t + 1.02383435e-3f;
  p = p * t - 1.22939681e-3f;
  p = p * t + 4.23640689e-3f;
  p = p * t - 7.67467525e-3f;
  p = p * t + 1.04686152e-2f;
  p = p * t - 1.46713629e-2f;
  p = p * t + 2.02879831e-2f;
  p = p * t - 2.61124693e-2f;
  p = p * t + 3.20817418e-2f;
  p = p * t - 3.87872681e-2f;
  p = p * t + 4.77369893e-2f;
  p = p * t - 6.41724765e-2f;
  p = p * t + 1.28551945e-1f;
  return p * z + 0.5f;
}

// x Phi(x); below -END, where the product is 1e-7, as at -END.
ALWAYS_INLINE Vec gelu(Vec x) {
  const Vec low = at_least(x, -END);
  return low * phi(at_most(low, END));
}

// Its derivative, Phi(x) + x times the normal density.
ALWAYS_INLINE Vec gelu_slope(Vec x) {
  const Vec near = at_most(at_least(x, -20.f), 20.f);
  const Vec density = exp2(near * near * (-0.5f * LOG2_E)) * 0.398942280f;
  return phi(at_most(at_least(near, -END), END)) + near * density;
}

// Some rows and columns of the result, the inner indices from `first` on.
struct Place {
  int64_t row, column, first, count;
  int tail;            // columns in its last vector
  const float* ahead;  // the weights that come next, to be called into the cache
  int64_t lines;       // of these, what a tile calls for every STEP inner indices
};

template <int V>
ALWAYS_INLINE Vec load_columns(const float* p, int v, int tail) {
  return v < V - 1 || tail == W ? load(p + v * W) : load_some(p + v * W, tail);
}

template <int V>
ALWAYS_INLINE void store_columns(float* p, Vec value, int v, int tail) {
  if (v < V - 1 || tail == W)
    store(p + v * W, value);
  else
    store_some(p + v * W, value, tail);
}

template <int M, int V>
ALWAYS_INLINE void add_products(Vec (&sum)[M][V], const float* x, int64_t inner, const float* panel,
                                int64_t k, int64_t end) {
  for (; k < end; k++) {
    Vec weight[V];
    UNROLL for (int v = 0; v < V; v++) weight[v] = load(panel + (k * V + v) * W);
    UNROLL for (int i = 0; i < M; i++) {
      const float value = x[i * inner + k];
      UNROLL for (int v = 0; v < V; v++) sum[i][v] += value * weight[v];
    }
  }
}

// Call the tile's part of an array like y into the cache, before it is needed.
template <int M, int V>
ALWAYS_INLINE void call_for_tile(const float* array, const Product& p, const Place& at) {
  const float* start = array + at.row * p.columns + at.column;
  for (int i = 0; i < M; i++) UNROLL
    for (int v = 0; v < V * W; v += LINE) __builtin_prefetch(start + i * p.columns + v, 0, 3);
}

// From the first-level cache: unrolled over all of a tile it would be ten times the code.
template <int V>
void finish(const Product& p, const Place& at, int rows) {
  float* y = p.y + at.row * p.columns + at.column;
  const float* slope_at = p.slope_at ? p.slope_at + at.row * p.columns + at.column : nullptr;
  for (int i = 0; i < rows; i++, y += p.columns) {
    UNROLL for (int v = 0; v < V; v++) {
      const Vec value = load_columns<V>(y, v, at.tail);
      if (p.gelu)
        store_columns<V>(y, gelu(value), v, at.tail);
      else
        store_columns<V>(y, value * gelu_slope(load_columns<V>(slope_at, v, at.tail)), v, at.tail);
    }
    if (slope_at) slope_at += p.columns;
  }
}

// A tile of M rows and V vectors; `panel` starts at the first of the inner indices.
template <int M, int V>
void tile(const Product& p, const Place& at, const float* panel) {
  const float* x = p.x + at.row * p.inner + at.first;
  float* y = p.y + at.row * p.columns + at.column;
  const int64_t inner = p.inner, columns = p.columns, count = at.count;
  const int tail = at.tail;
  const float* ahead = at.ahead;
  const bool last = at.first + count == inner;
  if (last && p.residual) call_for_tile<M, V>(p.residual, p, at);
  if (last && p.slope_at) call_for_tile<M, V>(p.slope_at, p, at);
  Vec sum[M][V] = {};
  int64_t k = 0;
  for (; k + STEP <= count; k += STEP) {
    for (int64_t i = 0; i < at.lines; i++, ahead += LINE) __builtin_prefetch(ahead, 0, 2);
    add_products(sum, x, inner, panel, k, k + STEP);
  }
  add_products(sum, x, inner, panel, k, count);
  if (at.first) UNROLL
    for (int i = 0; i < M; i++) UNROLL
      for (int v = 0; v < V; v++) sum[i][v] += load_columns<V>(y + i * columns, v, tail);
  if (last && p.bias) UNROLL
    for (int v = 0; v < V; v++) {
      const Vec bias = load_columns<V>(p.bias + at.column, v, tail);
      UNROLL for (int i = 0; i < M; i++) sum[i][v] += bias;
    }
  if (last && p.residual) {
    const float* residual = p.residual + at.row * columns + at.column;
    UNROLL for (int i = 0; i < M; i++) UNROLL
      for (int v = 0; v < V; v++) sum[i][v] += load_columns<V>(residual + i * columns, v, tail);
  }
  UNROLL for (int i = 0; i < M; i++) UNROLL
    for (int v = 0; v < V; v++) store_columns<V>(y + i * columns, sum[i][v], v, tail);
  if (last && (p.gelu || p.slope_at)) finish<V>(p, at, M);
}

template <int M, int V>
ALWAYS_INLINE void next_tile(const Product& p, Place& at, const float* panel) {
  tile<M, V>(p, at, panel);
  at.row += M;
  at.ahead += at.count / STEP * at.lines * LINE;
}

template <int V>
void column_of_tiles(const Product& p, Place at, const float* panel) {
  while (at.row + ROWS <= p.rows) next_tile<ROWS, V>(p, at, panel);
  if (at.row + 4 <= p.rows) next_tile<4, V>(p, at, panel);
  if (at.row + 2 <= p.rows) next_tile<2, V>(p, at, panel);
  if (at.row < p.rows) next_tile<1, V>(p, at, panel);
}

void run(const Product& p) {
  const int64_t tiles = (p.rows + ROWS - 1) / ROWS;
  const int64_t lines = (STEP * PANEL / LINE + tiles - 1) / tiles;
  for (int64_t first = 0; first < p.inner; first += BLOCK)
    for (int64_t column = 0; column < p.columns; column += PANEL) {
      const int64_t columns = least(PANEL, p.columns - column);
      const int vectors = int((columns + W - 1) / W);
      const int tail = int(columns - (vectors - 1) * W);
      const float* panel = p.weight + column * p.inner + first * vectors * W;
      const float* ahead = panel + p.inner * vectors * W;
      const Place at{0, column, first, least(BLOCK, p.inner - first), tail, ahead, lines};
      if (vectors == 1)
        column_of_tiles<1>(p, at, panel);
      else if (vectors == 2)
        column_of_tiles<2>(p, at, panel);
      else
        column_of_tiles<VECTORS>(p, at, panel);
    }
}

void gelu_all(float* x, int64_t floats) {
  int64_t i = 0;
  for (; i + W <= floats; i += W) store(x + i, gelu(load(x + i)));
  if (i < floats) store_some(x + i, gelu(load_some(x + i, int(floats - i))), int(floats - i));
}

// Panel by panel, one inner index after the other; zeros up to a whole vector. A transposed weight
// is (inner, columns).
void pack(const Packing& p, int64_t panel) {
  const int64_t first = panel * PANEL, columns = least(PANEL, p.columns - first);
  const int64_t wide = (columns + W - 1) / W * W;
  float* out = p.packed + first * p.inner;
  if (p.transposed) {
    for (int64_t k = 0; k < p.inner; k++, out += wide) {
      const float* row = p.weight + k * p.columns + first;
      for (int64_t c = 0; c < wide; c++) out[c] = c < columns ? row[c] : 0.f;
    }
    return;
  }
  // A cache line of each column at a time, and `out` in order.
  const float* rows = p.weight + first * p.inner;
  for (int64_t k = 0; k < p.inner; k += LINE)
    for (int64_t i = k; i < least(k + LINE, p.inner); i++, out += wide) {
      for (int64_t c = 0; c < columns; c++) out[c] = rows[c * p.inner + i];
      for (int64_t c = columns; c < wide; c++) out[c] = 0.f;
    }
}

}  // namespace

#define JOIN(a, b) a##b
#define TABLE(name) JOIN(multiplier_, name)

extern "C" const Multiplier TABLE(SCAN_ISA);
extern "C" const Multiplier TABLE(SCAN_ISA) = {ROWS, PANEL, run, gelu_all, pack};
