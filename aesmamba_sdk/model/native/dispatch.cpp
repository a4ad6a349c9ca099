// Which instruction set serves, how a problem is cut into pieces, and who works on them.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include "scan.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

#if defined(__x86_64__)
extern "C" const Kernel kernel_avx512, kernel_avx2;
#endif
extern "C" const Kernel kernel_baseline;

namespace {

// Blocks below which wide ones would leave threads idle. The number of threads itself must not
// matter: sums over blocks would then depend on it.
constexpr int64_t ENOUGH_BLOCKS = 4;
// Steps of four states, of one channel, that take a thread a few ten microseconds: for less it is
// not worth waking, least of all on a busy machine, where the others would wait for it.
constexpr int64_t WORTH_A_THREAD = 1 << 15;
// Floats to be normalised for which a thread is worth waking, and that it takes at a time.
constexpr int64_t NORM_WORTH_A_THREAD = 1 << 15, NORM_PIECE = 1 << 14;
// Floats of a depthwise convolution likewise. Neighbouring lines are read again: many at a time.
constexpr int64_t DEPTHWISE_WORTH_A_THREAD = 1 << 14, DEPTHWISE_PIECE = 1 << 16;
constexpr int64_t PACK_WORTH_A_THREAD = 1 << 15;  // floats
// Multiplications for which a thread is worth waking; floats of the maps of a chain, and rows at
// most, that it works on at a time: they stay in its second-level cache, where that has 2 MB or
// nearly, while all weights pass by.
constexpr int64_t CHAIN_WORTH_A_THREAD = 1 << 20, CHAIN_FLOATS = 3 << 17, CHAIN_ROWS = 192;
// Floats of a result, wider than what it is made of, that is written past the caches: whoever reads
// it next would hardly find all of it there.
constexpr int64_t STREAMED = 1 << 21;
constexpr std::align_val_t CACHE_LINE{64};

int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }

const Kernel* supported(const char* name) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!std::strcmp(name, "avx512"))
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") ? &kernel_avx512
                                                                                   : nullptr;
  if (!std::strcmp(name, "avx2"))
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kernel_avx2 : nullptr;
#endif
  return std::strcmp(name, "baseline") ? nullptr : &kernel_baseline;
}

struct Cut {
  int64_t samples, vectors, blocks;  // the latter two per sample

  Cut(const Scan& scan, const Kernel& kernel)
      : samples(scan.batch), vectors(scan.channels / kernel.width) {
    int64_t widest = MAX_VECTORS;
    while (widest > 1 && scan.batch * count(widest) < ENOUGH_BLOCKS) widest--;
    blocks = count(widest);
  }

  int64_t count(int64_t widest) const { return ceiling(vectors, widest); }

  // Blocks differ by at most one vector. The same channels of all samples follow each other.
  Block block(int64_t item, int width) const {
    const int64_t index = item / samples;
    const int64_t first = index * vectors / blocks, end = (index + 1) * vectors / blocks;
    return {item % samples, index, first * width, int(end - first)};
  }
};

// How many of `threads` to use; each must find a block, and enough to do.
int64_t useful_threads(const Scan& scan, const Cut& cut, int64_t threads) {
  const int64_t steps = scan.batch * scan.height * scan.width * PATHS;
  const int64_t work = steps * scan.channels * ((scan.states + 3) / 4);
  if (threads > work / WORTH_A_THREAD) threads = work / WORTH_A_THREAD;
  return threads < cut.samples * cut.blocks ? threads : cut.samples * cut.blocks;
}

// A call shared by the threads that work on it: each takes the next block until none is left.
struct Job {
  const Scan& scan;
  const Kernel& kernel;
  BlockFunction run;
  Cut cut;
  std::atomic<int64_t> next{0};
  std::atomic<bool> out_of_memory{false};
};

void work(void* shared) {
  Job& job = *static_cast<Job*>(shared);
  const int64_t channels = MAX_VECTORS * job.kernel.width;
  const int64_t sums = sum_floats(job.scan) * channels;
  const size_t bytes = (sums + weight_floats(job.scan) * channels) * sizeof(float);
  void* memory = ::operator new(bytes, CACHE_LINE, std::nothrow);
  if (!memory) {
    job.out_of_memory = true;
    return;
  }
  float* floats = static_cast<float*>(memory);
  const Desk desk{floats + sums, floats};
  const int64_t items = job.cut.samples * job.cut.blocks;
  int64_t packed = -1;
  for (int64_t item; (item = job.next++) < items;) {
    const Block block = job.cut.block(item, job.kernel.width);
    if (block.index != packed) job.kernel.pack(job.scan, block, desk);
    packed = block.index;
    job.run(job.scan, block, desk);
  }
  ::operator delete(memory, CACHE_LINE);
}

// Rows that threads take some at a time, until none is left: of a norm, or lines of images.
template <typename Problem>
struct RowsJob {
  const Problem& problem;
  void (*run)(const Problem&, int64_t first, int64_t end);
  int64_t rows, together;
  std::atomic<int64_t> next{0};
};

template <typename Problem>
void run_rows(void* shared) {
  auto& job = *static_cast<RowsJob<Problem>*>(shared);
  for (int64_t first; (first = job.next.fetch_add(job.together)) < job.rows;)
    job.run(job.problem, first, std::min(first + job.together, job.rows));
}

struct PackJob {
  const Packing& packing;
  PackFunction pack;
  int64_t panels;
  std::atomic<int64_t> next{0};
};

void pack(void* shared) {
  PackJob& job = *static_cast<PackJob*>(shared);
  for (int64_t i; (i = job.next++) < job.panels;) job.pack(job.packing, i);
}

// A chain shared by the threads that work on it: each takes the next rows until none is left.
struct ChainJob {
  const Chain& chain;
  const Kernel& kernel;
  int64_t threads, tiles, pieces;  // the latter two of rows
  std::atomic<int64_t> next{0};
  std::atomic<bool> out_of_memory{false};

  ChainJob(const Chain& c, const Kernel& k, int64_t workers)
      : chain(c), kernel(k), threads(workers), tiles(ceiling(c.rows, k.multiplier->rows)) {
    const int64_t wide = c.inner + c.first.columns + (c.second.weight ? c.second.columns : 0);
    const int64_t together = std::min(CHAIN_FLOATS / wide, CHAIN_ROWS) / k.multiplier->rows;
    pieces = ceiling(tiles, together > 1 ? together : 1);
    pieces = std::min(ceiling(pieces, threads) * threads, tiles);
  }

  int64_t first_row(int64_t piece) const {
    return std::min(piece * tiles / pieces * kernel.multiplier->rows, chain.rows);
  }
  int64_t most_rows() const { return ceiling(tiles, pieces) * kernel.multiplier->rows; }
  // Floats that a piece keeps to itself: its rows, normed or not, and what lies between the layers.
  int64_t row_floats() const { return most_rows() * chain.inner; }
  int64_t between_floats() const {
    return chain.second.weight ? most_rows() * chain.first.columns : 0;
  }
};

// What the rows from `first` on see of images, row by row.
void gather(const float* images, const Patches& p, int64_t first, int64_t rows, float* out) {
  const int64_t line = p.side * p.channels;
  for (int64_t row = first; row < first + rows; row++) {
    const int64_t image = row / (p.down * p.across), place = row % (p.down * p.across);
    const int64_t top = place / p.across * p.stride - p.padding;
    const int64_t left = place % p.across * p.stride - p.padding;
    const int64_t before = left < 0 ? -left * p.channels : 0;
    const int64_t beyond = left + p.side > p.width ? (left + p.side - p.width) * p.channels : 0;
    for (int64_t i = top; i < top + p.side; i++, out += line) {
      const bool inside = i >= 0 && i < p.height;
      const int64_t from = inside ? before : line, to = inside ? line - beyond : line;
      std::fill(out, out + from, 0.f);
      const int64_t start = ((image * p.height + i) * p.width + left) * p.channels;
      if (inside) std::copy(images + start + from, images + start + to, out + from);
      std::fill(out + to, out + line, 0.f);
    }
  }
}

struct Desks {
  float *rows, *between;
};

// `next`: the piece that this thread works on afterwards; negative: not known.
void run_piece(const ChainJob& job, int64_t piece, int64_t next, const Desks& desks) {
  const Chain& c = job.chain;
  const Layer &first = c.first, &second = c.second;
  const int64_t row = job.first_row(piece), rows = job.first_row(piece + 1) - row;
  const int64_t columns = second.weight ? second.columns : first.columns;
  const float* x = c.x + row * c.inner;
  float* y = c.y + row * columns;
  const auto normalize = [&](int64_t wide, const float* from, const Scale& scale, float* to) {
    const Norm norm{rows, wide, from, scale.weight, scale.bias, to, scale.epsilon, 0, 0};
    job.kernel.normalize(norm, 0, rows);
  };
  // What is read again and again for each panel is nearer than the map it comes from, in any case.
  if (c.patches.side)
    gather(c.x, c.patches, row, rows, desks.rows);
  else if (c.norm.weight)
    normalize(c.inner, x, c.norm, desks.rows);
  else
    std::copy(x, x + rows * c.inner, desks.rows);
  const Multiplier& m = *job.kernel.multiplier;
  Product product{rows, c.inner, first.columns, desks.rows, first.weight, first.bias};
  if (next >= 0 && !c.patches.side) {
    product.next = c.x + job.first_row(next) * c.inner;
    product.next_floats = (job.first_row(next + 1) - job.first_row(next)) * c.inner;
  }
  if (second.weight) {
    product.y = desks.between;
    product.gelu = true;
    m.run(product);
    product = {rows, first.columns, columns, desks.between, second.weight, second.bias};
  }
  product.residual = c.residual ? c.residual + row * columns : nullptr;
  product.y = y;
  product.gelu = c.last_gelu && !c.last_norm.weight;
  product.slope_at = c.slope_at ? c.slope_at + row * columns : nullptr;
  product.before = c.before ? c.before + row * columns : nullptr;
  product.streams = c.rows * columns >= STREAMED && columns > c.inner && !c.last_norm.weight;
  m.run(product);
  if (c.last_norm.weight) {
    normalize(columns, y, c.last_norm, y);
    if (c.last_gelu) m.gelu(y, rows * columns);
  }
}

void run_chain(void* shared) {
  ChainJob& job = *static_cast<ChainJob*>(shared);
  const int64_t rows = (job.row_floats() + 15) / 16 * 16;  // to the end of a cache line
  const size_t bytes = (rows + job.between_floats()) * sizeof(float);
  void* memory = ::operator new(bytes, CACHE_LINE, std::nothrow);
  if (!memory) {
    job.out_of_memory = true;
    return;
  }
  float* floats = static_cast<float*>(memory);
  const Desks desks{floats, floats + rows};
  for (int64_t i = job.next++, next; i < job.pieces; i = next < 0 ? job.next++ : next) {
    // Chosen ahead, to be called into the cache, unless it would be another thread's only one.
    next = job.next + job.threads <= job.pieces ? job.next++ : -1;
    run_piece(job, i, next, desks);
  }
  ::operator delete(memory, CACHE_LINE);
}

}  // namespace

// GOMP_parallel of the OpenMP runtime that the host program already uses: run `work(shared)` on
// `threads` threads and wait. Given by the caller, so that no second pool comes into being.
typedef void (*Parallel)(void (*work)(void*), void* shared, unsigned threads, unsigned flags);

static void share(Parallel parallel, int64_t threads, void (*work)(void*), void* job) {
  if (parallel && threads > 1)
    parallel(work, job, unsigned(threads), 0);
  else
    work(job);
}

// A fingerprint of the sources this library was built from.
EXPORT const char* aesmamba_sources() { return SCAN_SOURCES; }

// Channels per vector of an instruction set; 0: this machine or library does not have it.
EXPORT int aesmamba_width(const char* isa) {
  const Kernel* kernel = supported(isa);
  return kernel ? kernel->width : 0;
}

EXPORT int aesmamba_scan_chunk() { return CHUNK; }

// The first dimension of dx_dbl. The instruction set must be supported, here and below.
EXPORT int64_t aesmamba_scan_blocks(const Scan* scan, const char* isa) {
  return Cut(*scan, *supported(isa)).blocks;
}

// Run one pass; 0: done, 1: out of memory, the results are incomplete. `parallel` may be null.
EXPORT int aesmamba_scan_run(const Scan* scan, const char* isa, int backward, int threads,
                             Parallel parallel) {
  const Kernel& kernel = *supported(isa);
  Job job{*scan, kernel, backward ? kernel.backward : kernel.forward, Cut(*scan, kernel)};
  const int64_t useful = useful_threads(*scan, job.cut, threads);
  share(parallel, useful, work, &job);
  return job.out_of_memory;
}

// Normalise all rows. `parallel` may be null.
EXPORT void aesmamba_normalize(const Norm* norm, const char* isa, int threads, Parallel parallel) {
  RowsJob<Norm> job{*norm, supported(isa)->normalize, norm->rows, NORM_PIECE / norm->channels + 1};
  const int64_t useful = norm->rows * norm->channels / NORM_WORTH_A_THREAD;
  share(parallel, std::min(int64_t(threads), useful), run_rows<Norm>, &job);
}

// Floats of a weight of that shape as `aesmamba_pack` lays it out.
EXPORT int64_t aesmamba_packed_floats(int64_t columns, int64_t inner, const char* isa) {
  const int64_t width = supported(isa)->width;
  return ceiling(columns, width) * width * inner;
}

// Lay out a weight as this instruction set's products read it. `parallel` may be null.
EXPORT void aesmamba_pack(const Packing* packing, const char* isa, int threads,
                          Parallel parallel) {
  const Multiplier& multiplier = *supported(isa)->multiplier;
  const int64_t panels = ceiling(packing->columns, multiplier.columns);
  PackJob job{*packing, multiplier.pack, panels};
  const int64_t useful = packing->columns * packing->inner / PACK_WORTH_A_THREAD;
  share(parallel, std::min({int64_t(threads), useful, panels}), pack, &job);
}

// Run a chain; 0: done, 1: out of memory, the result is incomplete. `parallel` may be null.
EXPORT int aesmamba_chain(const Chain* chain, const char* isa, int threads, Parallel parallel) {
  const int64_t inner = chain->inner + (chain->second.weight ? chain->second.columns : 0);
  const int64_t worth = chain->rows * inner * chain->first.columns / CHAIN_WORTH_A_THREAD;
  if (threads > worth) threads = int(worth);
  if (!parallel || threads < 1) threads = 1;
  ChainJob job(*chain, *supported(isa), threads);
  share(parallel, threads, run_chain, &job);
  return job.out_of_memory;
}

// Convolve all lines. `parallel` may be null.
EXPORT void aesmamba_depthwise(const Depthwise* d, const char* isa, int threads,
                               Parallel parallel) {
  const int64_t line = d->width * d->channels, lines = d->batch * d->height;
  const int64_t useful = std::min(lines, lines * line / DEPTHWISE_WORTH_A_THREAD);
  if (threads > useful) threads = int(useful);
  if (!parallel || threads < 1) threads = 1;
  const int64_t together = std::min(ceiling(lines, threads), DEPTHWISE_PIECE / line + 1);
  RowsJob<Depthwise> job{*d, supported(isa)->convolve, lines, together};
  share(parallel, threads, run_rows<Depthwise>, &job);
}
