// The plain C interface of the fused four-way selective scan, and what its parts share.
//
// scan.cpp holds the arithmetic and is compiled once per instruction set; dispatch.cpp picks
// one at run time and deals out the work. Nothing here knows of Python or torch: the library is
// loaded with ctypes, and library.py mirrors the structs field by field.
//
// Shapes: B samples, L = height * width pixels in row-major order, D channels (a multiple of
// every vector width; the caller pads), N states, R the rank of the step sizes, K = 4 paths:
// rows, columns, rows reversed, columns reversed.
#pragma once

#include <cstdint>

#include "depthwise.h"
#include "norm.h"
#include "product.h"

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
  const float* dt_weight;  // (K, D, R)
  const float* dt_bias;    // (K, D)
  const float* A;          // (K, D, N)
  const float* skip;       // (K, D): the skip weights, called D elsewhere
  float* y;                // (B, L, D)
  float* checkpoints;      // (B, K, chunks, N, D): the state before each chunk; null: not kept
  const float* dy;         // (B, L, D)
  float* dx;               // (B, L, D)
  float* dx_dbl;           // (blocks, B, L, K, R + 2N): each channel block's share
  float* ddt_weight;       // (B, K, R, D): each sample's share, as below
  float* ddt_bias;         // (B, K, D)
  float* dA;               // (B, K, N, D)
  float* dskip;            // (B, D): the same for every path
};

// Some channels of one sample: the unit of work.
struct Block {
  int64_t sample, index, first_channel;
  int vectors;  // 1..MAX_VECTORS
};

// What one thread works with; its memory is the dispatcher's.
struct Desk {
  float* weights;  // those of a block's channels, side by side: see `pack` in scan.cpp
  float* sums;     // what a pass carries from chunk to chunk
};

typedef void (*BlockFunction)(const Scan&, const Block&, const Desk&);

// What an instruction set computes.
struct Kernel {
  const char* name;
  int width;  // channels per vector
  // `pack` lays out the weights that the passes read; they depend on the block's channels only.
  BlockFunction pack, forward, backward;
  NormFunction normalize;
  const Multiplier* multiplier;
  DepthwiseFunction convolve;
};

}  // extern "C"

// Rows of dt_weight are packed with zeros up to this many ranks, a multiple of every vector width.
inline int64_t padded_rank(const Scan& scan) { return (scan.rank + 15) / 16 * 16; }

// Floats per channel of a desk's weights: for each path bias, dt_weight both ways and A; the skip.
inline int64_t weight_floats(const Scan& scan) {
  return PATHS * (1 + scan.rank + padded_rank(scan) + scan.states) + 1;
}

// Floats per channel of a desk's sums: the backward pass has the larger ones.
inline int64_t sum_floats(const Scan& scan) { return 2 * scan.states + scan.rank; }

inline int64_t chunk_count(const Scan& scan) {
  return (scan.height * scan.width + CHUNK - 1) / CHUNK;
}
