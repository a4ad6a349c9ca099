// Layer norm over the last axis of a dense array, as inference needs it: no gradients.
#pragma once

#include <cstdint>

extern "C" {

// y = (x - mean) / sqrt(variance + epsilon) * weight + bias, row by row; all are dense.
struct Norm {
  int64_t rows, channels;
  const void* x;        // (rows, channels), float32 or bfloat16
  const float* weight;  // (channels)
  const float* bias;    // (channels)
  void* y;              // (rows, channels), float32 or bfloat16; may be x where that is of its type
  float epsilon;
  int32_t x_bfloat16, y_bfloat16;
};

// Rows from `first` to before `end`.
typedef void (*NormFunction)(const Norm&, int64_t first, int64_t end);

}  // extern "C"
