// The arithmetic of the scan, forward and backward, for one instruction set.
//
// Compiled once per set with -DSCAN_ISA=<name> -DSCAN_WIDTH=<floats per vector>. Everything but
// the table at the end is local to the file, and no function of the standard library is used: a
// shared inline function compiled for AVX-512 could otherwise be linked in for every machine.
//
// A block of channels walks one path after the other through its sample. All that a chunk of
// CHUNK steps needs stays in the first-level cache: step sizes, their products with x, outputs.
#include "scan.h"
#include "vector_math.h"

#define EACH_VECTOR UNROLL for (int v = 0; v < VECTORS; v++)

namespace {

template <int VECTORS>
struct Tile {
  alignas(64) float row[CHUNK][VECTORS * W];
};

// Pixels of up to CHUNK consecutive steps of one path, and where their rows are.
struct Steps {
  int count;
  int64_t pixel[CHUNK];       // among all pixels of the batch
  const float* x[CHUNK];      // this block's channels
  const float* x_dbl[CHUNK];  // this path's low-rank step sizes; then B, then C
};

ALWAYS_INLINE void walk(const Scan& s, const Block& block, int path, int64_t chunk, Steps& steps) {
  const int64_t length = s.height * s.width, first = chunk * CHUNK;
  const int64_t row_floats = s.rank + 2 * s.states;
  steps.count = length - first < CHUNK ? int(length - first) : CHUNK;
  const int64_t direction = path < 2 ? 1 : -1;
  const int64_t start = path < 2 ? first : length - 1 - first;
  int64_t row = start % s.height, column = start / s.height;  // of the paths along columns
  for (int t = 0; t < steps.count; t++) {
    int64_t pixel = path % 2 ? row * s.width + column : start + direction * t;
    row += direction;
    if (row == s.height) row = 0, column++;
    if (row < 0) row = s.height - 1, column--;
    pixel += block.sample * length;
    steps.pixel[t] = pixel;
    steps.x[t] = s.x + pixel * s.channels + block.first_channel;
    steps.x_dbl[t] = s.x_dbl + (pixel * PATHS + path) * row_floats;
  }
}

// A block's weights, packed: its C channels follow each other as they are read.
struct Packed {
  const float *bias, *dt_weight, *A;  // of one path: (C), (R, C), (N, C)
  const float* dt_rows;               // dt_weight as (C, R up to whole vectors), to come back
  const float* skip;                  // (C), summed over the paths: all add D x at every pixel
};

ALWAYS_INLINE Packed packed(const Scan& s, const Desk& desk, int path, int64_t size) {
  const int64_t floats = (1 + s.rank + s.states + padded_rank(s)) * size;
  const float* p = desk.weights + path * floats;
  return {p, p + size, p + (1 + s.rank) * size, p + (1 + s.rank + s.states) * size,
          desk.weights + PATHS * floats};
}

void pack(const Scan& s, const Block& block, const Desk& desk) {
  const int64_t size = block.vectors * W, ranks = padded_rank(s);
  float* out = desk.weights;
  for (int path = 0; path < PATHS; path++) {
    const int64_t first = path * s.channels + block.first_channel;
    __builtin_memcpy(out, s.dt_bias + first, size * sizeof(float));
    out += size;
    for (int64_t r = 0; r < s.rank; r++, out += size)
      for (int64_t c = 0; c < size; c++) out[c] = s.dt_weight[(first + c) * s.rank + r];
    for (int64_t n = 0; n < s.states; n++, out += size)
      for (int64_t c = 0; c < size; c++) out[c] = s.A[(first + c) * s.states + n];
    if (s.dx)
      for (int64_t c = 0; c < size; c++)
        for (int64_t r = 0; r < ranks; r++)
          out[c * ranks + r] = r < s.rank ? s.dt_weight[(first + c) * s.rank + r] : 0.f;
    out += size * ranks;
  }
  __builtin_memset(out, 0, size * sizeof(float));
  for (int path = 0; path < PATHS; path++)
    for (int64_t c = 0; c < size; c++)
      out[c] += s.skip[path * s.channels + block.first_channel + c];
}

// Step sizes of a chunk: project the low-rank ones up, add the bias, softplus. Several steps share
// each load of a weight; how many depends on the registers.
template <int VECTORS>
ALWAYS_INLINE void step_sizes(const Scan& s, const Packed& weights, const Steps& steps,
                              Tile<VECTORS>& dt) {
  constexpr int TOGETHER = (W == 16 ? 16 : 8) / VECTORS;
  for (int t = 0; t < steps.count; t += TOGETHER) {
    const float* low[TOGETHER];  // the last step is repeated to fill up
    for (int i = 0; i < TOGETHER; i++)
      low[i] = steps.x_dbl[t + i < steps.count ? t + i : steps.count - 1];
    Vec z[TOGETHER][VECTORS];
    UNROLL for (int i = 0; i < TOGETHER; i++) EACH_VECTOR z[i][v] = load(weights.bias + v * W);
    for (int64_t r = 0; r < s.rank; r++) {
      Vec w[VECTORS];
      EACH_VECTOR w[v] = load(weights.dt_weight + (r * VECTORS + v) * W);
      UNROLL for (int i = 0; i < TOGETHER; i++) EACH_VECTOR z[i][v] += low[i][r] * w[v];
    }
    const int kept = steps.count - t < TOGETHER ? steps.count - t : TOGETHER;
    UNROLL for (int i = 0; i < TOGETHER; i++)
      if (i < kept) EACH_VECTOR store(&dt.row[t + i][v * W], softplus(z[i][v]));
  }
}

template <int VECTORS>
struct ForwardTiles {
  Tile<VECTORS> dt, dtx, y;
};

// Advance state n through a chunk and add what it says to y. The first state also multiplies
// dt·x for the others and takes up the merged output so far; the last hands it back.
template <int VECTORS, bool FIRST>
ALWAYS_INLINE void advance(const Scan& s, const Block& block, const Packed& weights, int path,
                           int64_t n, const Steps& steps, ForwardTiles<VECTORS>& tile,
                           float* state) {
  const bool last = n == s.states - 1;
  Vec h[VECTORS], decay[VECTORS], skip[VECTORS];
  EACH_VECTOR {
    h[v] = load(state + v * W);
    decay[v] = load(weights.A + (n * VECTORS + v) * W) * LOG2_E;
    skip[v] = load(weights.skip + v * W);
  }
  for (int t = 0; t < steps.count; t++) {
    const float B = steps.x_dbl[t][s.rank + n], C = steps.x_dbl[t][s.rank + s.states + n];
    float* merged = s.y + steps.pixel[t] * s.channels + block.first_channel;
    float* out = last ? merged : tile.y.row[t];
    EACH_VECTOR {
      Vec dt = load(&tile.dt.row[t][v * W]), dtx, y;
      if (FIRST) {
        Vec x = load(steps.x[t] + v * W);
        dtx = dt * x;
        store(&tile.dtx.row[t][v * W], dtx);
        y = path == 0 ? x * skip[v] : load(merged + v * W);
      } else {
        dtx = load(&tile.dtx.row[t][v * W]);
        y = load(&tile.y.row[t][v * W]);
      }
      h[v] = exp2(dt * decay[v]) * h[v] + dtx * B;
      store(out + v * W, y + h[v] * C);
    }
  }
  EACH_VECTOR store(state + v * W, h[v]);
}

template <int VECTORS>
void forward_block(const Scan& s, const Block& block, const Desk& desk) {
  constexpr int64_t SIZE = VECTORS * W;
  float* state = desk.sums;
  const int64_t chunks = chunk_count(s);
  ForwardTiles<VECTORS> tile;
  Steps steps;
  for (int path = 0; path < PATHS; path++) {
    const Packed weights = packed(s, desk, path, SIZE);
    __builtin_memset(state, 0, s.states * SIZE * sizeof(float));
    for (int64_t c = 0; c < chunks; c++) {
      walk(s, block, path, c, steps);
      if (s.checkpoints) {
        float* kept = s.checkpoints +
                      ((block.sample * PATHS + path) * chunks + c) * s.states * s.channels +
                      block.first_channel;
        for (int64_t n = 0; n < s.states; n++)
          EACH_VECTOR store(kept + n * s.channels + v * W, load(state + n * SIZE + v * W));
      }
      step_sizes<VECTORS>(s, weights, steps, tile.dt);
      advance<VECTORS, true>(s, block, weights, path, 0, steps, tile, state);
      for (int64_t n = 1; n < s.states; n++)
        advance<VECTORS, false>(s, block, weights, path, n, steps, tile, state + n * SIZE);
    }
  }
}

template <int VECTORS>
struct BackwardTiles {
  Tile<VECTORS> dt, dtx, decay, h;  // h: the state before each step
  Tile<VECTORS> ddt, ddtx;          // gradients of dt, but through dt·x, and of dt·x
};

// This block's share of the gradient of x_dbl, at one pixel and path.
ALWAYS_INLINE float* share_of(const Scan& s, const Block& block, int path, int64_t pixel) {
  const int64_t row = (block.index * s.batch * s.height * s.width + pixel) * PATHS + path;
  return s.dx_dbl + row * (s.rank + 2 * s.states);
}

// What runs backwards through a path, per state: the gradient of the state and the sum for A.
struct Running {
  float *g, *dA;
};

// State n of a chunk: recompute it from the checkpoint, then run its gradient backwards.
template <int VECTORS, bool FIRST>
ALWAYS_INLINE void retreat(const Scan& s, const Block& block, const Packed& weights, int path,
                           int64_t n, const float* checkpoint, const Steps& steps,
                           BackwardTiles<VECTORS>& tile, Running running) {
  Vec A[VECTORS], h[VECTORS], g[VECTORS], dA[VECTORS];
  EACH_VECTOR {
    A[v] = load(weights.A + (n * VECTORS + v) * W);
    h[v] = load(checkpoint + v * W);
    g[v] = load(running.g + v * W);
    dA[v] = all(0.f);
  }
  for (int t = 0; t < steps.count; t++) {
    const float B = steps.x_dbl[t][s.rank + n];
    EACH_VECTOR {
      Vec decay = exp2(load(&tile.dt.row[t][v * W]) * (A[v] * LOG2_E));
      store(&tile.decay.row[t][v * W], decay);
      store(&tile.h.row[t][v * W], h[v]);
      h[v] = decay * h[v] + load(&tile.dtx.row[t][v * W]) * B;
    }
  }
  for (int t = steps.count - 1; t >= 0; t--) {
    const float B = steps.x_dbl[t][s.rank + n], C = steps.x_dbl[t][s.rank + s.states + n];
    const float* dy_row = s.dy + steps.pixel[t] * s.channels + block.first_channel;
    Vec dB = all(0.f), dC = all(0.f);
    EACH_VECTOR {
      float *ddt = &tile.ddt.row[t][v * W], *ddtx = &tile.ddtx.row[t][v * W];
      Vec dy = load(dy_row + v * W), before = load(&tile.h.row[t][v * W]);
      dC += dy * h[v];
      g[v] += dy * C;
      dB += g[v] * load(&tile.dtx.row[t][v * W]);
      Vec through_input = g[v] * B;
      g[v] *= load(&tile.decay.row[t][v * W]);
      Vec through_decay = g[v] * before;  // of dt·A
      dA[v] += through_decay * load(&tile.dt.row[t][v * W]);
      store(ddtx, FIRST ? through_input : load(ddtx) + through_input);
      store(ddt, FIRST ? through_decay * A[v] : load(ddt) + through_decay * A[v]);
      h[v] = before;
    }
    float* share = share_of(s, block, path, steps.pixel[t]) + s.rank;
    share[n] = sum(dB);
    share[s.states + n] = sum(dC);
  }
  EACH_VECTOR {
    store(running.g + v * W, g[v]);
    // Summed chunk by chunk: one long sum in float32 would lose digits.
    store(running.dA + v * W, load(running.dA + v * W) + dA[v]);
  }
}

// Bring a chunk's gradients to x and, in place of those of dt, to the step sizes before softplus.
template <int VECTORS>
ALWAYS_INLINE void finish(const Scan& s, const Block& block, const Packed& weights, int path,
                          const Steps& steps, BackwardTiles<VECTORS>& tile, Vec* bias_sum,
                          Vec* skip_sum) {
  Vec bias[VECTORS], dskip[VECTORS], skip[VECTORS];
  EACH_VECTOR {
    bias[v] = dskip[v] = all(0.f);
    skip[v] = load(weights.skip + v * W);
  }
  for (int t = 0; t < steps.count; t++) {
    const int64_t at = steps.pixel[t] * s.channels + block.first_channel;
    EACH_VECTOR {
      Vec x = load(steps.x[t] + v * W), dt = load(&tile.dt.row[t][v * W]);
      Vec ddtx = load(&tile.ddtx.row[t][v * W]);
      Vec dz = (load(&tile.ddt.row[t][v * W]) + ddtx * x) * softplus_slope(dt);
      store(&tile.ddt.row[t][v * W], dz);
      bias[v] += dz;
      Vec dx;
      if (path == 0) {
        Vec dy = load(s.dy + at + v * W);
        dx = dy * skip[v];
        dskip[v] += dy * x;
      } else {
        dx = load(s.dx + at + v * W);
      }
      store(s.dx + at + v * W, dx + ddtx * dt);
    }
  }
  EACH_VECTOR {
    bias_sum[v] += bias[v];
    skip_sum[v] += dskip[v];
  }
}

// Low-rank step sizes from those of the channels: the transpose of `step_sizes`. Vectors run along
// the ranks, as sums within a vector are slow.
template <int VECTORS>
ALWAYS_INLINE void lower_ranks(const Scan& s, const Block& block, const Packed& weights, int path,
                               const Steps& steps, const Tile<VECTORS>& dz) {
  constexpr int TOGETHER = 8;
  const int64_t ranks = padded_rank(s);
  for (int t = 0; t < steps.count; t += TOGETHER) {
    const float* row[TOGETHER];  // the last step is repeated to fill up
    for (int i = 0; i < TOGETHER; i++)
      row[i] = dz.row[t + i < steps.count ? t + i : steps.count - 1];
    const int kept = steps.count - t < TOGETHER ? steps.count - t : TOGETHER;
    for (int64_t r = 0; r < s.rank; r += W) {
      Vec total[TOGETHER];
      UNROLL for (int i = 0; i < TOGETHER; i++) total[i] = all(0.f);
      for (int c = 0; c < VECTORS * W; c++) {
        const Vec weight = load(weights.dt_rows + c * ranks + r);
        UNROLL for (int i = 0; i < TOGETHER; i++) total[i] += row[i][c] * weight;
      }
      const int64_t width = s.rank - r < W ? s.rank - r : W;
      UNROLL for (int i = 0; i < TOGETHER; i++)
        if (i < kept) {
          float* share = share_of(s, block, path, steps.pixel[t + i]) + r;
          __builtin_memcpy(share, &total[i], width * sizeof(float));
        }
    }
  }
}

// Add a chunk's gradient of RANKS rows of dt_weight, (R, C), from row r on.
template <int VECTORS, int RANKS>
ALWAYS_INLINE void add_weight_rows(const Steps& steps, const Tile<VECTORS>& dz, int64_t r,
                                   float* dweight) {
  Vec total[RANKS][VECTORS];
  UNROLL for (int i = 0; i < RANKS; i++) EACH_VECTOR total[i][v] = all(0.f);
  for (int t = 0; t < steps.count; t++) {
    const float* low = steps.x_dbl[t] + r;
    EACH_VECTOR {
      const Vec of_step = load(&dz.row[t][v * W]);
      UNROLL for (int i = 0; i < RANKS; i++) total[i][v] += low[i] * of_step;
    }
  }
  UNROLL for (int i = 0; i < RANKS; i++) EACH_VECTOR {
    float* sum = dweight + ((r + i) * VECTORS + v) * W;
    store(sum, load(sum) + total[i][v]);
  }
}

// Copy rows of a block's sums to their places among all channels.
ALWAYS_INLINE void hand_out(const float* sums, int64_t rows, int64_t size, float* out,
                            const Scan& s, const Block& block) {
  for (int64_t i = 0; i < rows; i++)
    __builtin_memcpy(out + i * s.channels + block.first_channel, sums + i * size,
                     size * sizeof(float));
}

template <int VECTORS>
void backward_block(const Scan& s, const Block& block, const Desk& desk) {
  constexpr int64_t SIZE = VECTORS * W;
  const int64_t chunks = chunk_count(s);
  float *g = desk.sums, *dA = g + s.states * SIZE, *dweight = dA + s.states * SIZE;
  BackwardTiles<VECTORS> tile;
  Steps steps;
  Vec skip_sum[VECTORS];
  EACH_VECTOR skip_sum[v] = all(0.f);
  for (int path = 0; path < PATHS; path++) {
    const Packed weights = packed(s, desk, path, SIZE);
    const int64_t of_path = block.sample * PATHS + path;
    Vec bias_sum[VECTORS];
    EACH_VECTOR bias_sum[v] = all(0.f);
    __builtin_memset(desk.sums, 0, sum_floats(s) * SIZE * sizeof(float));
    for (int64_t c = chunks - 1; c >= 0; c--) {
      walk(s, block, path, c, steps);
      step_sizes<VECTORS>(s, weights, steps, tile.dt);
      for (int t = 0; t < steps.count; t++)
        EACH_VECTOR store(&tile.dtx.row[t][v * W],
                          load(&tile.dt.row[t][v * W]) * load(steps.x[t] + v * W));
      const float* kept =
          s.checkpoints + (of_path * chunks + c) * s.states * s.channels + block.first_channel;
      retreat<VECTORS, true>(s, block, weights, path, 0, kept, steps, tile, {g, dA});
      for (int64_t n = 1; n < s.states; n++)
        retreat<VECTORS, false>(s, block, weights, path, n, kept + n * s.channels, steps, tile,
                                {g + n * SIZE, dA + n * SIZE});
      finish<VECTORS>(s, block, weights, path, steps, tile, bias_sum, skip_sum);
      lower_ranks<VECTORS>(s, block, weights, path, steps, tile.ddt);
      int64_t r = 0;
      for (; r + 4 <= s.rank; r += 4) add_weight_rows<VECTORS, 4>(steps, tile.ddt, r, dweight);
      for (; r < s.rank; r++) add_weight_rows<VECTORS, 1>(steps, tile.ddt, r, dweight);
    }
    hand_out(dA, s.states, SIZE, s.dA + of_path * s.states * s.channels, s, block);
    hand_out(dweight, s.rank, SIZE, s.ddt_weight + of_path * s.rank * s.channels, s, block);
    EACH_VECTOR store(s.ddt_bias + of_path * s.channels + block.first_channel + v * W, bias_sum[v]);
  }
  EACH_VECTOR store(s.dskip + block.sample * s.channels + block.first_channel + v * W, skip_sum[v]);
}

void forward(const Scan& scan, const Block& block, const Desk& desk) {
  switch (block.vectors) {
    case 1: return forward_block<1>(scan, block, desk);
    case 2: return forward_block<2>(scan, block, desk);
    case 3: return forward_block<3>(scan, block, desk);
    default: return forward_block<4>(scan, block, desk);
  }
}

void backward(const Scan& scan, const Block& block, const Desk& desk) {
  switch (block.vectors) {
    case 1: return backward_block<1>(scan, block, desk);
    case 2: return backward_block<2>(scan, block, desk);
    case 3: return backward_block<3>(scan, block, desk);
    default: return backward_block<4>(scan, block, desk);
  }
}

}  // namespace

#define TEXT(name) #name
#define NAME_OF(name) TEXT(name)
#define JOIN(a, b) a##b
#define TABLE(name) JOIN(kernel_, name)
#define NORMALIZE(name) JOIN(normalize_, name)
#define MULTIPLIER(name) JOIN(multiplier_, name)
#define DEPTHWISE(name) JOIN(convolve_depthwise_, name)

extern "C" void NORMALIZE(SCAN_ISA)(const Norm&, int64_t, int64_t);  // norm.cpp
extern "C" const Multiplier MULTIPLIER(SCAN_ISA);                    // product.cpp
extern "C" void DEPTHWISE(SCAN_ISA)(const Depthwise&, int64_t, int64_t);  // depthwise.cpp
extern "C" const Kernel TABLE(SCAN_ISA);
extern "C" const Kernel TABLE(SCAN_ISA) = {
    NAME_OF(SCAN_ISA),   W, pack, forward, backward, NORMALIZE(SCAN_ISA),
    &MULTIPLIER(SCAN_ISA), DEPTHWISE(SCAN_ISA)};
