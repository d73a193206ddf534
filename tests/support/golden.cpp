// SPDX-License-Identifier: MIT
#include "support/golden.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "utils/mapped_file.h"

namespace bitnet::testing {

GoldenTensors::GoldenTensors(const std::filesystem::path& file)
    : file_(model::read_safetensors(utils::MappedFile::open(file))) {}

const model::StoredTensor& GoldenTensors::find(const std::string& name) const {
  const auto found = std::ranges::find(file_.tensors, name, &model::StoredTensor::name);
  if (found == file_.tensors.end()) throw std::runtime_error("no golden tensor " + name);
  return *found;
}

bool GoldenTensors::has(const std::string& name) const {
  return std::ranges::find(file_.tensors, name, &model::StoredTensor::name) != file_.tensors.end();
}

std::vector<float> GoldenTensors::floats(const std::string& name) const {
  const model::StoredTensor& tensor = find(name);
  if (tensor.encoding != model::Encoding::f32) throw std::runtime_error(name + " is not f32");
  std::vector<float> values(tensor.data.size() / sizeof(float));
  std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  return values;
}

std::vector<std::int32_t> GoldenTensors::integers(const std::string& name) const {
  const model::StoredTensor& tensor = find(name);
  std::vector<std::int32_t> values;
  if (tensor.encoding == model::Encoding::i8) {
    for (const std::byte value : tensor.data) values.push_back(static_cast<std::int8_t>(value));
    return values;
  }
  if (tensor.encoding != model::Encoding::i32) throw std::runtime_error(name + " is not integer");
  values.resize(tensor.data.size() / sizeof(std::int32_t));
  std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  return values;
}

nlohmann::json GoldenModel::report() const {
  std::ifstream file(folder / "reference.json");
  return nlohmann::json::parse(file);
}

GoldenTensors GoldenModel::reference() const {
  return GoldenTensors(folder / "reference.safetensors");
}

std::vector<GoldenPrompt> GoldenModel::prompts() const {
  const GoldenTensors tensors = reference();
  const nlohmann::json description = report();
  std::vector<GoldenPrompt> prompts;
  for (const nlohmann::json& entry : description.at("prompts")) {
    const std::string prefix = "prompt." + std::to_string(prompts.size()) + ".";
    prompts.push_back({tensors.integers(prefix + "tokens"), tensors.floats(prefix + "logits"),
                       entry.at("tie_free").get<bool>(), entry.value("greedy_from", 0U)});
  }
  return prompts;
}

const std::vector<GoldenModel>& golden_models() {
  static const std::vector<GoldenModel> models = [] {
    std::vector<GoldenModel> list;
    const std::filesystem::path root = BITNET_SOURCE_DIR "/tests/data/golden/models";
    for (const auto& shape : std::filesystem::directory_iterator(root)) {
      for (const auto& form : std::filesystem::directory_iterator(shape.path())) {
        std::string name = shape.path().filename().string() + "_" + form.path().filename().string();
        std::ranges::replace(name, '-', '_');
        list.push_back({std::move(name), form.path()});
      }
    }
    std::ranges::sort(list, {}, &GoldenModel::name);
    if (list.empty()) throw std::runtime_error("no golden models in " + root.string());
    return list;
  }();
  return models;
}

double relative_rms(std::span<const float> values, std::span<const float> reference) {
  if (values.size() != reference.size() || values.empty()) {
    throw std::runtime_error("relative_rms: sizes differ");
  }
  const auto count = static_cast<double>(reference.size());
  double mean = 0;
  for (const float value : reference) mean += value / count;
  double error = 0;
  double variance = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    error += std::pow(static_cast<double>(values[i]) - reference[i], 2) / count;
    variance += std::pow(reference[i] - mean, 2) / count;
  }
  return std::sqrt(error / variance);
}

}  // namespace bitnet::testing
