// SPDX-License-Identifier: MIT
// Printing an InspectReport.
#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "model/inspect.h"

namespace bitnet::model {
namespace {

using nlohmann::ordered_json;

constexpr std::array<const char*, 3> kSeverities = {"note", "warning", "error"};
constexpr std::array<const char*, 4> kActivations = {"relu", "relu2", "silu", "gelu"};

const char* name(Severity severity) { return kSeverities[static_cast<std::size_t>(severity)]; }

ordered_json to_json(const ModelConfig& config) {
  return {
      {"architecture", config.architecture},
      {"vocab_size", config.vocab_size},
      {"hidden_size", config.hidden_size},
      {"intermediate_size", config.intermediate_size},
      {"layers", config.layers},
      {"heads", config.heads},
      {"kv_heads", config.kv_heads},
      {"head_dim", config.head_dim},
      {"max_positions", config.max_positions},
      {"rms_norm_epsilon", config.rms_norm_epsilon},
      {"rope_theta", config.rope_theta},
      {"rope_style", config.rope_style == RopeStyle::rotate_half ? "rotate_half" : "interleaved"},
      {"activation", kActivations[static_cast<std::size_t>(config.activation)]},
      {"sub_norms", config.sub_norms},
      {"tied_embeddings", config.tied_embeddings},
      {"bos_token", config.bos_token},
      {"eos_tokens", config.eos_tokens}};
}

}  // namespace

std::string to_json(const InspectReport& report) {
  ordered_json root = {{"path", report.path}, {"format", report.format}, {"sound", report.sound()}};
  if (report.config) root["config"] = to_json(*report.config);
  ordered_json tensors = ordered_json::array();
  for (const TensorReport& tensor : report.tensors) {
    ordered_json entry = {
        {"name", tensor.name},
        {"type", tensor.type},
        {"shape", std::vector<std::int64_t>(tensor.shape.begin(), tensor.shape.end())},
        {"bytes", tensor.bytes},
        {"offset", tensor.offset},
        {"file", tensor.file}};
    if (tensor.zeros) entry["zeros"] = *tensor.zeros;
    if (tensor.scale) entry["scale"] = *tensor.scale;
    tensors.push_back(std::move(entry));
  }
  root["tensors"] = std::move(tensors);
  ordered_json findings = ordered_json::array();
  for (const Finding& finding : report.findings) {
    findings.push_back(
        {{"severity", name(finding.severity)}, {"tensor", finding.tensor}, {"text", finding.text}});
  }
  root["findings"] = std::move(findings);
  return root.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string to_text(const InspectReport& report) {
  std::ostringstream out;
  out << report.path << "  (" << report.format << ")\n";
  if (report.config) {
    const ordered_json config = to_json(*report.config);
    for (const auto& [key, value] : config.items()) {
      out << "  " << key << ": "
          << value.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << '\n';
    }
  }
  std::uint64_t total = 0;
  std::size_t width = 0;
  for (const TensorReport& tensor : report.tensors) {
    total += tensor.bytes;
    width = std::max(width, tensor.name.size());
  }
  out << report.tensors.size() << " tensors, " << total << " bytes\n";
  for (const TensorReport& tensor : report.tensors) {
    out << "  " << tensor.name << std::string(width + 2 - tensor.name.size(), ' ') << tensor.type
        << ' ' << to_string(tensor.shape) << "  " << tensor.bytes << " bytes at " << tensor.offset
        << " of " << tensor.file;
    std::array<char, 64> text{};
    if (tensor.zeros) {
      (void)std::snprintf(text.data(), text.size(), "  zeros %.1f %%", 100.0 * *tensor.zeros);
      out << text.data();
    }
    if (tensor.scale) out << "  scale " << *tensor.scale;
    out << '\n';
  }
  for (const Finding& finding : report.findings) {
    out << name(finding.severity) << ": " << finding.tensor << (finding.tensor.empty() ? "" : ": ")
        << finding.text << '\n';
  }
  if (report.sound()) out << "sound: no damage found\n";
  return std::move(out).str();
}

}  // namespace bitnet::model
