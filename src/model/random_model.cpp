// SPDX-License-Identifier: MIT
#include "model/random_model.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <vector>

#include "model/config.h"
#include "model/output_folder.h"
#include "model/safetensors_writer.h"
#include "model/tensor_names.h"
#include "utils/checks.h"

namespace bitnet::model {
namespace {

constexpr std::size_t kPart = 1 << 20;  // bytes written at a time

// splitmix64 (Steele, Lea, Flood 2014): specified to the bit, unlike the distributions of <random>.
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
  }
  float uniform() noexcept { return static_cast<float>(next() >> 40) * 0x1p-24F; }
  // Close to standard normal: the sum of four uniform 16-bit numbers, variance 4 * 2^32 / 12.
  float normal() noexcept {
    const std::uint64_t bits = next();
    std::int32_t sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<std::int32_t>(bits >> (16 * i) & 0xFFFFU);
    return (static_cast<float>(sum) - 131070.0F) * 2.6428964e-5F;
  }

 private:
  std::uint64_t state_;
};

// Bytes of four trits each, all 81 equally likely: of the 256 values of a random byte, 243 = 3 * 81
// are used.
void fill_trits(Generator& generator, std::span<std::byte> bytes) {
  static constexpr auto kFourTrits = [] {
    std::array<std::byte, 243> table{};
    for (unsigned value = 0; value < table.size(); ++value) {
      const unsigned v = value % 81;
      table[value] = static_cast<std::byte>(v % 3 | v / 3 % 3 << 2 | v / 9 % 3 << 4 | v / 27 << 6);
    }
    return table;
  }();
  for (std::size_t i = 0; i < bytes.size();) {
    std::uint64_t bits = generator.next();
    for (int k = 0; k < 8 && i < bytes.size(); ++k, bits >>= 8) {
      const auto byte = static_cast<std::size_t>(bits & 0xFFU);
      if (byte < kFourTrits.size()) bytes[i++] = kFourTrits[byte];
    }
  }
}

void fill_bf16(std::span<std::byte> bytes, auto&& value) {
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    const std::uint16_t bits = to_bfloat16(value()).bits;
    bytes[i] = static_cast<std::byte>(bits & 0xFFU);
    bytes[i + 1] = static_cast<std::byte>(bits >> 8);
  }
}

std::vector<TensorSpec> specs_of(const ModelConfig& config) {
  std::vector<TensorSpec> specs;
  for (const Slot slot : slots_of(config)) {
    Shape shape = shape_of(slot.role, config);
    const std::string name = hf_name(slot.role, slot.layer);
    if (!is_ternary(slot.role)) {
      specs.push_back({name, Encoding::bf16, shape});
      continue;
    }
    utils::require(shape[0] % 4 == 0, "write_random_model", name, " would have ", shape[0],
                   " rows; packed matrices need a multiple of 4");
    shape[0] /= 4;
    specs.push_back({name, Encoding::u8, shape});
    specs.push_back({name + "_scale", Encoding::bf16, {1}});
  }
  return specs;
}

}  // namespace

ModelConfig parse_shape(std::string_view text) {
  ModelConfig config;
  config.architecture = "BitNetForCausalLM";
  config.rope_theta = 500000.0;
  config.max_positions = 4096;
  if (text == "2b4t") {
    config.vocab_size = 128256;
    config.hidden_size = 2560;
    config.intermediate_size = 6912;
    config.layers = 30;
    config.heads = 20;
    config.kv_heads = 5;
    config.head_dim = 128;
    config.bos_token = 128000;
    config.eos_tokens = {128001, 128009};
    return config;
  }
  config.vocab_size = 4096;
  config.hidden_size = 512;
  config.intermediate_size = 1280;
  config.layers = 6;
  config.heads = 8;
  std::int64_t tied = 1;
  std::int64_t sub_norms = 1;
  const std::array<std::pair<std::string_view, std::int64_t*>, 10> keys = {
      {{"vocab", &config.vocab_size},
       {"hidden", &config.hidden_size},
       {"ffn", &config.intermediate_size},
       {"layers", &config.layers},
       {"heads", &config.heads},
       {"kv_heads", &config.kv_heads},
       {"head_dim", &config.head_dim},
       {"context", &config.max_positions},
       {"tied", &tied},
       {"sub_norms", &sub_norms}}};
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const std::size_t equals = item.find('=');
    const auto known = std::ranges::find(keys, item.substr(0, equals),
                                         &std::pair<std::string_view, std::int64_t*>::first);
    utils::require(equals != std::string_view::npos && known != keys.end(), "parse_shape", "'",
                   item, "' is not KEY=NUMBER; keys: vocab, hidden, ffn, layers, heads, kv_heads, ",
                   "head_dim, context, tied, sub_norms; or the shape 2b4t");
    const std::string_view number = item.substr(equals + 1);
    const auto result =
        std::from_chars(number.data(), number.data() + number.size(), *known->second);
    utils::require(result.ec == std::errc() && result.ptr == number.data() + number.size() &&
                       *known->second >= 0,
                   "parse_shape", "'", item, "' has no number");
  }
  if (config.kv_heads == 0) config.kv_heads = config.heads;
  if (config.head_dim == 0 && config.heads > 0) config.head_dim = config.hidden_size / config.heads;
  config.tied_embeddings = tied != 0;
  config.sub_norms = sub_norms != 0;
  if (!config.sub_norms) {
    config.architecture = "LlamaForCausalLM";
    config.activation = Unary::silu;
  }
  try {
    check_config(config, "shape");
  } catch (const Error& error) {
    throw Error(ErrorCode::invalid_argument, error.what());
  }
  return config;
}

void write_random_model(
    const ModelConfig& config, std::uint64_t seed, const std::filesystem::path& folder,
    const std::function<void(std::string_view stage, double fraction)>& progress) {
  const std::vector<TensorSpec> specs = specs_of(config);
  OutputFolder output(folder);
  SafetensorsWriter writer(output.temporary() / "model.safetensors", specs, {{"format", "pt"}});
  const auto total = static_cast<double>(writer.total_bytes());
  std::vector<std::byte> part;
  std::uint64_t written = 0;
  std::int64_t columns = 1;  // of the matrix whose scale comes next
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const TensorSpec& spec = specs[i];
    // A stream of its own, so that tensors do not depend on those before them.
    Generator generator(Generator(seed + i).next());
    const std::uint64_t bytes =
        stored_size(spec.encoding, static_cast<std::uint64_t>(spec.shape.elements())).value();
    if (spec.encoding == Encoding::u8) columns = spec.shape[1];
    // A row of trits, two thirds of which are not zero, adds up to sqrt(2 K / 3) unit inputs.
    const float scale =
        (0.7F + 0.6F * generator.uniform()) * std::sqrt(1.5F / static_cast<float>(columns));
    const float deviation = 1.0F / std::sqrt(static_cast<float>(config.hidden_size));
    for (std::uint64_t first = 0; first < bytes; first += kPart) {
      if (progress) progress("writing random weights", static_cast<double>(written) / total);
      part.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kPart, bytes - first)));
      if (spec.encoding == Encoding::u8) {
        fill_trits(generator, part);
      } else if (spec.name.ends_with("_scale")) {
        fill_bf16(part, [&] { return scale; });
      } else if (spec.shape.rank() == 2) {
        fill_bf16(part, [&] { return deviation * generator.normal(); });
      } else {
        fill_bf16(part, [&] { return 1.0F + 0.1F * generator.normal(); });
      }
      writer.write(part);
      written += part.size();
    }
  }
  writer.finish();
  output.write_text("config.json", write_hf_config(config));
  output.commit();
  if (progress) progress("writing random weights", 1.0);
}

}  // namespace bitnet::model
