// SPDX-License-Identifier: MIT
// Rotary frequencies, step by step in float as transformers' modeling_rope_utils.py computes them:
// every tensor there is float32, and Python's scalars are rounded to float32 when they meet one.
#include <cmath>
#include <numbers>

#include "bitnet/model.h"

namespace bitnet {
namespace {

// "llama3": long wavelengths are divided by the factor, short ones kept, those between blended.
float scale_llama3(float frequency, const RopeScaling& scaling) {
  const auto context = static_cast<double>(scaling.original_max_positions);
  const double low = scaling.low_frequency_factor;
  const double high = scaling.high_frequency_factor;
  const auto factor = static_cast<float>(scaling.factor);
  const auto longest = static_cast<float>(context / low);
  const auto shortest = static_cast<float>(context / high);
  const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
  if (wavelength > longest) return frequency / factor;
  if (wavelength < shortest) return frequency;
  const float smooth = (static_cast<float>(context) / wavelength - static_cast<float>(low)) /
                       static_cast<float>(high - low);
  return (1.0F - smooth) * frequency / factor + smooth * frequency;
}

}  // namespace

std::vector<float> ModelConfig::inverse_frequencies() const {
  std::vector<float> frequencies(static_cast<std::size_t>(head_dim / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    float frequency = 1.0F / std::pow(static_cast<float>(rope_theta), exponent);
    switch (rope_scaling.type) {
      case RopeScaling::Type::none:
        break;
      case RopeScaling::Type::linear:
        frequency /= static_cast<float>(rope_scaling.factor);
        break;
      case RopeScaling::Type::llama3:
        frequency = scale_llama3(frequency, rope_scaling);
        break;
    }
    frequencies[i] = frequency;
  }
  return frequencies;
}

}  // namespace bitnet
