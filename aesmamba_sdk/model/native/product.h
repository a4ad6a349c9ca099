// Matrix product of a linear layer, with what follows it in inference: bias, GELU or residual sum.
#pragma once

#include <cstdint>

extern "C" {

// A linear layer; weight is null where there is none.
struct Layer {
  int64_t columns;
  const float* weight;  // (columns, inner) as `pack` lays it out
  const float* bias;    // (columns), or null
  int32_t gelu;         // 0 or 1: what follows it
};

// y = residual + second(first(norm(x))), where norm, second and residual may be missing. All are
// dense; between its parts nothing leaves the cache.
struct Chain {
  int64_t rows, inner;
  const float* x;            // (rows, inner)
  const float* norm_weight;  // (inner), or null: no layer norm
  const float* norm_bias;    // (inner)
  Layer first, second;
  const float* residual;  // (rows, columns), or null
  float* y;               // (rows, columns)
  float epsilon;
};

// One product of a chain, of some rows: y = x weight^T + bias, GELU of it, + residual.
struct Product {
  int64_t rows, inner, columns;
  const float *x, *weight, *bias, *residual;
  float* y;
  bool gelu;
};

typedef void (*ProductFunction)(const Product&);
typedef void (*PackFunction)(const float* weight, int64_t columns, int64_t inner, float* packed);

// How an instruction set multiplies.
struct Multiplier {
  int rows;  // of the tile that registers hold
  ProductFunction run;
  PackFunction pack;
};

}  // extern "C"
