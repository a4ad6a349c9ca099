// Depthwise 3x3 convolution, stride 1, zeros around, and SiLU, as inference needs it.
#pragma once

#include <cstdint>

extern "C" {

// Images are channels last and dense.
struct Depthwise {
  int64_t batch, height, width, channels;
  const float* x;       // (batch, height, width, channels)
  const float* weight;  // (3, 3, channels)
  const float* bias;    // (channels), or null
  float* y;             // (batch, height, width, channels)
};

// Lines of pixels, counted through all images, from `first` to before `end`.
typedef void (*DepthwiseFunction)(const Depthwise&, int64_t first, int64_t end);

}  // extern "C"
