// Layer norm over the last axis of a dense array, as inference needs it: no gradients.
#pragma once

#include <cstdint>

extern "C" {

// y = (x - mean) / sqrt(variance + epsilon) * weight + bias, row by row; all are dense float32.
struct Norm {
  int64_t rows, channels;
  const float* x;       // (rows, channels)
  const float* weight;  // (channels)
  const float* bias;    // (channels)
  float* y;             // (rows, channels); may be x
  float epsilon;
};

// Rows from `first` to before `end`.
typedef void (*NormFunction)(const Norm&, int64_t first, int64_t end);

}  // extern "C"
