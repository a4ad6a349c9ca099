// Matrix products of linear layers and convolutions, with what stands before and behind them.
#pragma once

#include <cstdint>

extern "C" {

// A linear layer; weight is null where there is none.
struct Layer {
  int64_t columns;
  const float* weight;  // (columns, inner) as `pack` lays it out
  const float* bias;    // (columns), or null
};

// A layer norm; weight is null where there is none.
struct Scale {
  const float *weight, *bias;
  float epsilon;
};

// What a convolution sees of images (batch, height, width, channels): the rows of a product, each
// `side` * `side` pixels, zeros where they lie outside. Side is 0 where rows are as they are.
struct Patches {
  int64_t height, width, channels;
  int64_t side, stride, padding, down, across;  // the latter two: how many of an image
};

// y = residual + second(gelu(first(norm(x)))), or without second residual + first(norm(x)), and
// then a last norm and GELU, where all but first may be missing, and patches take the place of the
// first norm. Arrays are dense; between the parts nothing leaves the cache.
struct Chain {
  int64_t rows, inner;
  const float* x;  // (rows, inner), or images
  Patches patches;
  Scale norm;
  Layer first, second;
  const float* residual;  // (rows, columns), or null
  Scale last_norm;
  float* y;  // (rows, columns)
  // Arrays like y, or null: what y is, a gradient, is multiplied by GELU's slope there.
  const float* slope_at;
  float* before;  // an array like y that takes what the last GELU is applied to, or null; no norm
  int32_t last_gelu;  // 0 or 1
};

// One product of a chain, of some rows: x weight^T + bias + residual, its GELU or its product with
// the slope of GELU at other numbers; `before` takes what GELU is applied to, where it is not null.
struct Product {
  int64_t rows, inner, columns;
  const float *x, *weight, *bias, *residual;
  float* y;
  bool gelu;
  const float* slope_at;
  float* before;
  const float* next;  // read after this product, to be called into the cache meanwhile
  int64_t next_floats;
  bool streams;  // y is written past the caches, where that is possible
};

// A dense weight, (columns, inner), or transposed (inner, columns), laid out for products.
struct Packing {
  int64_t columns, inner;
  const float* weight;
  float* packed;
  int32_t transposed;
};

typedef void (*ProductFunction)(const Product&);
typedef void (*GeluFunction)(float* x, int64_t floats);
typedef void (*PackFunction)(const Packing&, int64_t panel);

// How an instruction set multiplies.
struct Multiplier {
  int rows, columns;  // of the tile that registers hold; a panel has as many columns
  ProductFunction run;
  GeluFunction gelu;  // in place
  PackFunction pack;
};

}  // extern "C"
