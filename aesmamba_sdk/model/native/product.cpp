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
constexpr int AT_ONCE = W == 16 ? 2 : 1;  // rows of a tile in the registers with their GELU
// Inner indices of a block: its part of a panel comes from the second-level cache, where the part
// of x that a thread works on stays, too.
constexpr int64_t BLOCK = 192;
constexpr int64_t STEP = 16, LINE = 16;  // inner indices between prefetches; floats of a cache line

ALWAYS_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// An odd function z P(z^2) plus 1/2 for |z| <= END, beyond which it is 0 or 1 to all digits that
// matter: coefficients of P by powers of t = 2 (z / END)^2 - 1, the highest first; minimax.
struct Phi {  // the normal distribution, to 4e-8
  static constexpr float END = 5.5f;
  static constexpr int TERMS = 15;
  static constexpr float P[TERMS] = {
      5.38081184e-4f, -1.36883074e-3f, 1.02383435e-3f,  -1.22939681e-3f, 4.23640689e-3f,
      -7.67467525e-3f, 1.04686152e-2f, -1.46713629e-2f, 2.02879831e-2f,  -2.61124693e-2f,
      3.20817418e-2f, -3.87872681e-2f, 4.77369893e-2f,  -6.41724765e-2f, 1.28551945e-1f};
};
struct Slope {  // the derivative of z Phi(z), to 2.4e-7 with its rounding
  static constexpr float END = 5.75f;
  static constexpr int TERMS = 19;
  static constexpr float P[TERMS] = {
      1.07782526e-3f,  -2.87089531e-3f, 1.58017385e-3f,  -1.13050474e-3f, 9.35634503e-3f,
      -1.90116360e-2f, 2.37110959e-2f,  -3.25098797e-2f, 4.76284069e-2f,  -6.05465871e-2f,
      6.79218065e-2f,  -7.02495354e-2f, 6.70230799e-2f,  -5.95723589e-2f, 5.16818967e-2f,
      -4.72911259e-2f, 4.93680880e-2f,  -6.22814659e-2f, 1.23071819e-1f};
};

// Of several vectors side by side: each step waits for the one before, but not for other vectors'.
template <typename F, int N>
ALWAYS_INLINE void evaluate(const Vec (&z)[N], Vec (&p)[N]) {
  Vec t[N];
  UNROLL for (int i = 0; i < N; i++) {
    t[i] = z[i] * z[i] * (2.f / (F::END * F::END)) - 1.f;
    p[i] = t[i] * F::P[0] + F::P[1];
  }
  UNROLL for (int k = 2; k < F::TERMS; k++) UNROLL
    for (int i = 0; i < N; i++) p[i] = p[i] * t[i] + F::P[k];
  UNROLL for (int i = 0; i < N; i++) p[i] = p[i] * z[i] + 0.5f;
}

// x Phi(x); below -END, where the product is 1e-7, as at -END.
template <int N>
ALWAYS_INLINE void gelu(Vec (&x)[N]) {
  Vec near[N], p[N];
  UNROLL for (int i = 0; i < N; i++) near[i] = at_most(x[i] = at_least(x[i], -Phi::END), Phi::END);
  evaluate<Phi>(near, p);
  UNROLL for (int i = 0; i < N; i++) x[i] *= p[i];
}

// Times the derivative of that at other numbers.
template <int N>
ALWAYS_INLINE void times_gelu_slope(Vec (&y)[N], const Vec (&x)[N]) {
  Vec near[N], p[N];
  UNROLL for (int i = 0; i < N; i++) near[i] = at_most(at_least(x[i], -Slope::END), Slope::END);
  evaluate<Slope>(near, p);
  UNROLL for (int i = 0; i < N; i++) y[i] *= p[i];
}

// What comes next, called into the cache meanwhile: some lines for every STEP inner indices.
struct Ahead {
  const float* at;
  int64_t lines;

  void call() {
    for (int64_t i = 0; i < lines; i++, at += LINE) __builtin_prefetch(at, 0, 2);
  }
};

// Some rows and columns of the result, the inner indices from `first` on.
struct Place {
  int64_t row, column, first, count;
  int tail;  // columns in its last vector
  Ahead weights, next;
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

// All of a block, while what comes next is called into the cache.
template <int M, int V>
ALWAYS_INLINE void add_block(Vec (&sum)[M][V], const float* x, int64_t inner, const float* panel,
                             int64_t k, int64_t end, Place& at) {
  for (; k + STEP <= end; k += STEP) {
    at.weights.call(), at.next.call();
    add_products(sum, x, inner, panel, k, k + STEP);
  }
  add_products(sum, x, inner, panel, k, end);
}

// Call the tile's part of an array like y into the cache, before it is read, or written.
template <int M, int V, int WRITTEN>
ALWAYS_INLINE void call_for_tile(const float* array, const Product& p, const Place& at) {
  const float* start = array + at.row * p.columns + at.column;
  for (int i = 0; i < M; i++) UNROLL
    for (int v = 0; v < V * W; v += LINE) __builtin_prefetch(start + i * p.columns + v, WRITTEN, 3);
}

// GELU of N rows and V vectors of a tile, or their product with its slope.
template <int N, int V>
ALWAYS_INLINE void finish_rows(const Product& p, const Place& at, const float* from, int64_t stride,
                               float* y, const float* slope_at) {
  Vec value[N * V];
  UNROLL for (int i = 0; i < N; i++) UNROLL
    for (int v = 0; v < V; v++)
      value[i * V + v] = load_columns<V>(from + i * stride, v, at.tail);
  if (p.gelu) {
    gelu(value);
  } else {
    Vec x[N * V];
    UNROLL for (int i = 0; i < N; i++) UNROLL
      for (int v = 0; v < V; v++)
        x[i * V + v] = load_columns<V>(slope_at + i * p.columns, v, at.tail);
    times_gelu_slope(value, x);
  }
  UNROLL for (int i = 0; i < N; i++) UNROLL
    for (int v = 0; v < V; v++) {
      float* to = y + i * p.columns;
      if (p.streams)
        stream(to + v * W, value[i * V + v]);
      else
        store_columns<V>(to, value[i * V + v], v, at.tail);
    }
}

// From the first-level cache: unrolled over all of a tile it would be ten times the code.
template <int V>
void finish(const Product& p, const Place& at, const float* from, int64_t stride, int rows) {
  float* y = p.y + at.row * p.columns + at.column;
  const float* slope_at = p.slope_at ? p.slope_at + at.row * p.columns + at.column : nullptr;
  for (; rows >= AT_ONCE; rows -= AT_ONCE) {
    finish_rows<AT_ONCE, V>(p, at, from, stride, y, slope_at);
    from += AT_ONCE * stride, y += AT_ONCE * p.columns;
    if (slope_at) slope_at += AT_ONCE * p.columns;
  }
  if (rows) finish_rows<1, V>(p, at, from, stride, y, slope_at);
}

// A tile that is written past the caches, when all has been done with it.
template <int M, int V>
ALWAYS_INLINE void stream_tile(const Product& p, const Place& at, const Vec (&sum)[M][V]) {
  float* y = p.y + at.row * p.columns + at.column;
  if (!p.gelu && !p.slope_at) {
    UNROLL for (int i = 0; i < M; i++) UNROLL
      for (int v = 0; v < V; v++) stream(y + i * p.columns + v * W, sum[i][v]);
    return;
  }
  float desk[M * V * W];
  float* before = p.before ? p.before + at.row * p.columns + at.column : nullptr;
  UNROLL for (int i = 0; i < M; i++) UNROLL
    for (int v = 0; v < V; v++) {
      store(desk + (i * V + v) * W, sum[i][v]);
      if (before) stream(before + i * p.columns + v * W, sum[i][v]);
    }
  finish<V>(p, at, desk, V * W, M);
}

// A tile of M rows and V vectors; `panel` starts at the first of the inner indices.
template <int M, int V>
void tile(const Product& p, Place& at, const float* panel) {
  const float* x = p.x + at.row * p.inner + at.first;
  float* y = p.y + at.row * p.columns + at.column;
  const int64_t inner = p.inner, columns = p.columns, count = at.count;
  const int tail = at.tail;
  const bool last = at.first + count == inner;
  if (!p.streams && !at.first) call_for_tile<M, V, 1>(p.y, p, at);
  if (last && p.residual) call_for_tile<M, V, 0>(p.residual, p, at);
  if (last && p.slope_at) call_for_tile<M, V, 0>(p.slope_at, p, at);
  Vec sum[M][V] = {};
  if (count <= BLOCK) {
    add_block(sum, x, inner, panel, 0, count, at);
  } else {  // of a tile that is streamed: two blocks, added up as elsewhere in y
    float desk[M * V * W];
    add_block(sum, x, inner, panel, 0, BLOCK, at);
    UNROLL for (int i = 0; i < M; i++) UNROLL
      for (int v = 0; v < V; v++) {
        store(desk + (i * V + v) * W, sum[i][v]);
        sum[i][v] = Vec{};
      }
    add_block(sum, x, inner, panel, BLOCK, count, at);
    UNROLL for (int i = 0; i < M; i++) UNROLL
      for (int v = 0; v < V; v++) sum[i][v] += load(desk + (i * V + v) * W);
  }
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
  if (p.streams) return stream_tile(p, at, sum);
  UNROLL for (int i = 0; i < M; i++) UNROLL
    for (int v = 0; v < V; v++) store_columns<V>(y + i * columns, sum[i][v], v, tail);
  if (!last || !(p.gelu || p.slope_at)) return;
  if (p.before) UNROLL
    for (int i = 0; i < M; i++) UNROLL
      for (int v = 0; v < V; v++)
        store_columns<V>(p.before + (at.row + i) * columns + at.column, sum[i][v], v, tail);
  finish<V>(p, at, y, columns, M);
}

template <int M, int V>
ALWAYS_INLINE void next_tile(const Product& p, Place& at, const float* panel) {
  tile<M, V>(p, at, panel);
  at.row += M;
}

template <int V>
void column_of_tiles(const Product& p, Place& at, const float* panel) {
  while (at.row + ROWS <= p.rows) next_tile<ROWS, V>(p, at, panel);
  if (at.row + 4 <= p.rows) next_tile<4, V>(p, at, panel);
  if (at.row + 2 <= p.rows) next_tile<2, V>(p, at, panel);
  if (at.row < p.rows) next_tile<1, V>(p, at, panel);
}

// Whether all of y can go past the caches: as whole lines, and none is read again.
bool can_stream(const Product& p) {
  const uintptr_t addresses = uintptr_t(p.y) | uintptr_t(p.before);
  return p.inner <= 2 * BLOCK && p.columns % LINE == 0 && addresses % (LINE * sizeof(float)) == 0;
}

void run(const Product& given) {
  Product p = given;
  p.streams &= can_stream(p);
  const int64_t block = p.streams ? p.inner : BLOCK;
  const int64_t tiles = (p.rows + ROWS - 1) / ROWS, panels = (p.columns + PANEL - 1) / PANEL;
  const int64_t steps = p.inner / STEP * tiles * panels;
  const int64_t lines = (STEP * PANEL / LINE + tiles - 1) / tiles;
  Ahead next{p.next, steps ? (p.next_floats / LINE + steps - 1) / steps : 0};
  for (int64_t first = 0; first < p.inner; first += block)
    for (int64_t column = 0; column < p.columns; column += PANEL) {
      const int64_t columns = least(PANEL, p.columns - column);
      const int vectors = int((columns + W - 1) / W);
      const int tail = int(columns - (vectors - 1) * W);
      const float* panel = p.weight + column * p.inner + first * vectors * W;
      const Ahead weights{panel + p.inner * vectors * W, lines};
      Place at{0, column, first, least(block, p.inner - first), tail, weights, next};
      if (vectors == 1)
        column_of_tiles<1>(p, at, panel);
      else if (vectors == 2)
        column_of_tiles<2>(p, at, panel);
      else
        column_of_tiles<VECTORS>(p, at, panel);
      next = at.next;
    }
  if (p.streams) streamed();
}

void gelu_all(float* x, int64_t floats) {
  constexpr int N = VECTORS * AT_ONCE;
  int64_t i = 0;
  for (; i + N * W <= floats; i += N * W) {
    Vec value[N];
    UNROLL for (int v = 0; v < N; v++) value[v] = load(x + i + v * W);
    gelu(value);
    UNROLL for (int v = 0; v < N; v++) store(x + i + v * W, value[v]);
  }
  for (; i < floats; i += W) {
    const int some = int(least(W, floats - i));
    Vec value[1] = {some < W ? load_some(x + i, some) : load(x + i)};
    gelu(value);
    store_columns<1>(x + i, value[0], 0, some);
  }
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
