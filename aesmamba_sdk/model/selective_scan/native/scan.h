// The plain C interface of the fused four-way selective scan, and what its parts share.
//
// kernel.cpp holds the arithmetic and is compiled once per instruction set; dispatch.cpp picks
// one at run time and deals out the work. Nothing here knows of Python or torch: the library is
// loaded with ctypes, and library.py mirrors `Scan` field by field.
//
// Shapes: B samples, L = height * width pixels in row-major order, D channels (a multiple of
// every vector width; the caller pads), N states, R the rank of the step sizes, K = 4 paths:
// rows, columns, rows reversed, columns reversed.
#pragma once

#include <cstdint>

constexpr int PATHS = 4;
// Steps between stored states; also what fits into the first-level cache during the backward pass.
constexpr int CHUNK = 32;
// More would not fit into the registers of any instruction set.
constexpr int MAX_VECTORS = 4;

extern "C" {

// One problem; every array is dense float32. Outputs of the pass that does not run may be null.
struct Scan {
  int64_t batch, height, width, channels, states, rank;
  const float* x;          // (B, L, D)
  const float* x_dbl;      // (B, L, K, R + 2N): low-rank step sizes, B and C
  const float* dt_weight;  // (K, R, D)
  const float* dt_bias;    // (K, D)
  const float* A;          // (K, N, D)
  const float* skip;       // (D): D summed over the paths, as each path adds D x at every pixel
  float* y;                // (B, L, D)
  float* checkpoints;      // (B, K, chunks, N, D): the state before each chunk; null: not kept
  const float* dy;         // (B, L, D)
  float* dx;               // (B, L, D)
  float* ddt;              // (K, B, L, D): gradient of the step sizes before softplus
  float* dBC;              // (blocks, B, L, K, 2N): each channel block's share
  float* dA;               // (B, K, N, D)
  float* ddt_bias;         // (B, K, D)
  float* dskip;            // (B, D)
};

// Some channels of one sample: the unit of work.
struct Block {
  int64_t sample, index, first_channel;
  int vectors;  // 1..MAX_VECTORS
};

// `scratch` holds `scratch_floats` per state, see dispatch.cpp.
typedef void (*BlockFunction)(const Scan&, const Block&, float* scratch);

struct Kernel {
  const char* name;
  int width;  // channels per vector
  BlockFunction forward, backward;
};

}  // extern "C"

inline int64_t chunk_count(const Scan& scan) {
  return (scan.height * scan.width + CHUNK - 1) / CHUNK;
}
