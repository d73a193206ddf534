// SPDX-License-Identifier: MIT
#include "bitnet/model.h"

#include <array>

#include "model/architecture.h"
#include "model/checkpoint.h"
#include "utils/checks.h"

namespace bitnet {

struct Model::Impl {
  Device device;
  ModelConfig config;
  Executable executable;
};

Model Model::load(const std::filesystem::path& path, const Device& device,
                  const LoadOptions& options) {
  const model::Checkpoint checkpoint = model::Checkpoint::open(path, options);
  const model::Weights weights = checkpoint.load_weights(device, options);
  const ModelConfig& config = checkpoint.config();
  const Graph graph = model::build_transformer(config, weights, options.kv_cache);
  return Model(std::make_shared<const Impl>(Impl{device, config, graph.compile(device)}));
}

const ModelConfig& Model::config() const noexcept { return impl_->config; }

const Device& Model::device() const noexcept { return impl_->device; }

StateSet Model::new_states(std::int64_t slots, std::int64_t context) const {
  utils::require(slots > 0 && context > 0, "Model::new_states", "cannot hold ", slots,
                 " sequences of ", context, " positions");
  return impl_->executable.new_states({{"slots", slots}, {"context", context}});
}

Tensor Model::forward(std::span<const std::int32_t> tokens, std::span<const std::int32_t> positions,
                      std::span<const std::int32_t> sequences, std::span<const std::int32_t> rows,
                      StateSet& states) const {
  utils::require(tokens.size() == positions.size() && tokens.size() == sequences.size(),
                 "Model::forward", "there are ", tokens.size(), " tokens, ", positions.size(),
                 " positions and ", sequences.size(), " sequences");
  const auto input = [&](std::span<const std::int32_t> values) {
    return Tensor::from_host(impl_->device, values, {static_cast<std::int64_t>(values.size())});
  };
  const std::array inputs = {input(tokens), input(positions), input(sequences), input(rows)};
  return impl_->executable.execute(inputs, states).front();
}

}  // namespace bitnet
