// SPDX-License-Identifier: MIT
#include "model/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "model/i2s_variant.h"
#include "model/safetensors.h"
#include "utils/checks.h"

namespace bitnet::model {
namespace {

bool ends_with_any(std::string_view text, std::initializer_list<std::string_view> endings) {
  return std::ranges::any_of(endings, [&](auto ending) { return text.ends_with(ending); });
}

// Tensors that files carry beside the weights and a forward pass does not read.
bool is_harmless(std::string_view name) {
  return name.starts_with("__padding__.") || name.ends_with("rotary_emb.inv_freq");
}

}  // namespace

Checkpoint Checkpoint::open(const std::filesystem::path& path, const LoadOptions& options) {
  Checkpoint checkpoint;
  checkpoint.path_ = path;
  if (path.extension() == ".gguf") {
    checkpoint.open_gguf(path);
  } else {
    checkpoint.open_hf(path);
  }
  checkpoint.check_tensors();
  if (checkpoint.format_ == CheckpointFormat::gguf) checkpoint.choose_i2s_variant(options);
  return checkpoint;
}

void Checkpoint::open_hf(const std::filesystem::path& path) {
  const bool is_folder = std::filesystem::is_directory(path);
  folder_ = is_folder ? path : path.parent_path();
  std::filesystem::path weights = path;
  if (is_folder) {
    weights = path / "model.safetensors";
    if (!std::filesystem::exists(weights)) weights = path / "model.safetensors.index.json";
    if (!std::filesystem::exists(weights)) {
      utils::fail(ErrorCode::io, "Checkpoint::open", path.string(),
                  " holds neither model.safetensors nor model.safetensors.index.json");
    }
  }
  SafetensorsFile file = weights.extension() == ".json"
                             ? read_sharded_safetensors(weights)
                             : read_safetensors(utils::MappedFile::open(weights));
  tensors_ = std::move(file.tensors);
  std::ranges::sort(tensors_, {}, &StoredTensor::name);
  HfConfig config = read_hf_config(folder_);
  config_ = std::move(config.model);
  conventions_ = std::move(config.weights);
  const auto mapped = file.metadata.find(std::string(kMappedVersionKey));
  if (mapped == file.metadata.end()) return;
  if (mapped->second != kMappedVersion) {
    utils::fail(ErrorCode::unsupported, "Checkpoint::open", weights.string(), ": version ",
                mapped->second, " of the memory-mapped form is not supported (", kMappedVersion,
                " is)");
  }
  format_ = CheckpointFormat::memory_mapped;
  if (const auto group = file.metadata.find(std::string(kMappedGroupKey));
      group != file.metadata.end()) {
    const std::string& text = group->second;
    const auto end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, group_size_);
    if (parsed.ec != std::errc() || parsed.ptr != end || group_size_ < 1 ||
        group_size_ > (1 << 24)) {
      utils::fail(ErrorCode::bad_file, "Checkpoint::open", weights.string(), ": ", kMappedGroupKey,
                  " is \"", text, "\"");
    }
  }
}

void Checkpoint::open_gguf(const std::filesystem::path& path) {
  gguf_ = read_gguf(utils::MappedFile::open(path));
  format_ = CheckpointFormat::gguf;
  folder_ = path.parent_path();
  tensors_ = gguf_->tensors;
  std::ranges::sort(tensors_, {}, &StoredTensor::name);
  config_ = read_gguf_config(*gguf_);
}

const StoredTensor* Checkpoint::find(std::string_view name) const {
  const auto found = std::ranges::lower_bound(tensors_, name, {}, &StoredTensor::name);
  return found == tensors_.end() || found->name != name ? nullptr : &*found;
}

const StoredTensor* Checkpoint::find(Slot slot) const {
  if (format_ == CheckpointFormat::gguf) return find(gguf_name(slot.role, slot.layer));
  if (const StoredTensor* tensor = find(hf_name(slot.role, slot.layer))) return tensor;
  return find(hf_alternative_name(slot.role, slot.layer));
}

const StoredTensor& Checkpoint::tensor(Slot slot) const {
  const StoredTensor* tensor = find(slot);
  if (tensor == nullptr) {
    utils::fail(ErrorCode::bad_file, "Checkpoint::open", path_.string(), ": tensor ",
                format_ == CheckpointFormat::gguf ? gguf_name(slot.role, slot.layer)
                                                  : hf_name(slot.role, slot.layer),
                " is missing");
  }
  return *tensor;
}

// "....weight" -> "....weight_scale" (transformers) or "....scale" (llama.cpp's bitnet graph).
const StoredTensor* Checkpoint::scale_of(const StoredTensor& tensor) const {
  if (format_ != CheckpointFormat::gguf) return find(tensor.name + "_scale");
  const std::string_view name = tensor.name;
  return find(std::string(name.substr(0, name.size() - std::string_view("weight").size())) +
              "scale");
}

TernaryForm Checkpoint::form_of(const StoredTensor& tensor) const {
  switch (tensor.encoding) {
    case Encoding::u8:
      if (format_ == CheckpointFormat::memory_mapped) return TernaryForm::two_bit;
      if (format_ == CheckpointFormat::hugging_face) return TernaryForm::hf_packed;
      break;
    case Encoding::i2_s:
      return TernaryForm::i2_s;
    case Encoding::tq1_0:
      return TernaryForm::tq1_0;
    case Encoding::tq2_0:
      return TernaryForm::tq2_0;
    case Encoding::f32:
    case Encoding::f16:
    case Encoding::bf16:
      return conventions_.online ? TernaryForm::dense_masters : TernaryForm::dense_trits;
    default:
      break;
  }
  utils::fail(ErrorCode::unsupported, "Checkpoint::open", path_.string(), ": tensor ", tensor.name,
              " is stored as ", tensor.type, ", from which ternary weights cannot be read");
}

TernarySource Checkpoint::ternary(Slot slot) const {
  const StoredTensor& stored = tensor(slot);
  const Shape shape = shape_of(slot.role, config_);
  const bool mapped = format_ == CheckpointFormat::memory_mapped;
  TernaryLayout layout;
  layout.form = form_of(stored);
  layout.rows = shape[0];
  layout.cols = shape[1];
  layout.scale = scale_of(stored);
  layout.variant = i2s_;
  if (layout.form == TernaryForm::dense_masters) layout.scale = nullptr;
  // Only the class of transformers that divides says so, and our form always multiplies.
  layout.scale_divides = conventions_.scale_divides && !mapped;
  // Matrices with one scale stand beside those with groups.
  if (mapped && layout.scale != nullptr && layout.scale->shape.rank() == 2) {
    layout.group_size = group_size_;
  }
  return {stored, layout};
}

// transformers leaves out of quantisation what modules_to_not_convert names in full, by its
// beginning, or by its end (quantizers_utils.should_convert_module).
void Checkpoint::check_converted(const StoredTensor& tensor) const {
  std::string_view module = tensor.name;
  module.remove_suffix(std::min(module.size(), std::string_view(".weight").size()));
  for (const std::string& dense : conventions_.dense_modules) {
    if (dense.empty() || !(module.starts_with(dense) || module.ends_with(dense))) continue;
    utils::fail(ErrorCode::unsupported, "Checkpoint::open", path_.string(),
                ": modules_to_not_convert names ", dense, ", but the layer ", module,
                " must be ternary");
  }
}

void Checkpoint::check_tensors() const {
  std::unordered_set<std::string_view> used;
  for (const Slot slot : slots_of(config_)) {
    const StoredTensor& stored = tensor(slot);
    used.insert(stored.name);
    if (is_ternary(slot.role)) {
      (void)form_of(stored);
      check_converted(stored);
      if (const StoredTensor* scale = scale_of(stored)) used.insert(scale->name);
      continue;  // TernarySource checks the shape, which depends on the form
    }
    const bool table = slot.role == Role::embedding || slot.role == Role::head;
    const bool readable =
        stored.is_float() ||
        (table && (stored.encoding == Encoding::q8_0 || stored.encoding == Encoding::q6_k));
    if (!readable) {
      utils::fail(ErrorCode::unsupported, "Checkpoint::open", path_.string(), ": tensor ",
                  stored.name, " is stored as ", stored.type, ", which is not supported there");
    }
    const Shape shape = shape_of(slot.role, config_);
    if (!(stored.shape == shape)) {
      fail_tensor("Checkpoint::open", stored,
                  "the shape is " + to_string(stored.shape) + ", but the configuration needs " +
                      to_string(shape));
    }
  }
  // A tensor nobody reads is a bias, a norm or an adapter: the network is not the one assumed.
  for (const StoredTensor& stored : tensors_) {
    if (used.contains(stored.name) || is_harmless(stored.name)) continue;
    if (config_.tied_embeddings && stored.name == hf_name(Role::head, 0)) continue;
    utils::fail(ErrorCode::unsupported, "Checkpoint::open", path_.string(), ": tensor ",
                stored.name, " is not part of a ", config_.architecture, " network",
                ends_with_any(stored.name, {".bias"}) ? " (biases are not supported)" : "");
  }
}

void Checkpoint::choose_i2s_variant(const LoadOptions& options) {
  std::vector<const StoredTensor*> tensors;
  for (const StoredTensor& stored : tensors_) {
    if (stored.encoding == Encoding::i2_s) tensors.push_back(&stored);
  }
  if (tensors.empty()) return;
  if (options.i2s != I2sVariant::automatic) {
    i2s_ = options.i2s;
    return;
  }
  if (const auto mark = gguf_->text(kI2sVariantKey)) {
    if (*mark != "x86" && *mark != "arm") {
      utils::fail(ErrorCode::bad_file, "Checkpoint::open", path_.string(), ": metadata key ",
                  kI2sVariantKey, " is \"", *mark, "\"; it must be \"x86\" or \"arm\"");
    }
    i2s_ = *mark == "x86" ? I2sVariant::x86 : I2sVariant::arm;
    return;
  }
  // Columns against what stands before them: norms, and the matrices that write what they read.
  constexpr std::array<std::pair<Role, Role>, 11> kPairs = {{{Role::q, Role::input_norm},
                                                             {Role::k, Role::input_norm},
                                                             {Role::v, Role::input_norm},
                                                             {Role::gate, Role::post_norm},
                                                             {Role::up, Role::post_norm},
                                                             {Role::o, Role::attention_norm},
                                                             {Role::down, Role::ffn_norm},
                                                             {Role::gate, Role::o},
                                                             {Role::up, Role::o},
                                                             {Role::down, Role::gate},
                                                             {Role::down, Role::up}}};
  constexpr std::int64_t kLayers = 6;  // spread over the network; enough to decide
  std::vector<I2sEvidence> evidence;
  for (std::int64_t i = 0; i < std::min(kLayers, config_.layers); ++i) {
    const std::int64_t layer = i * config_.layers / std::min(kLayers, config_.layers);
    for (const auto& [columns_role, other_role] : kPairs) {
      const StoredTensor* columns = find(Slot{columns_role, layer});
      const StoredTensor* other = find(Slot{other_role, layer});
      if (columns == nullptr || other == nullptr || columns->encoding != Encoding::i2_s) continue;
      if (!(columns->shape == shape_of(columns_role, config_)) ||
          !(other->shape == shape_of(other_role, config_))) {
        continue;
      }
      if (other->is_float()) evidence.push_back({columns, other, nullptr});
      if (other->encoding == Encoding::i2_s) evidence.push_back({columns, nullptr, other});
    }
  }
  const I2sGuess guess = guess_i2s_variant(tensors, evidence);
  i2s_ = guess.variant;
  notes_.push_back(std::string("i2_s layout: ") + (i2s_ == I2sVariant::arm ? "arm" : "x86") +
                   (guess.certain ? ", told from the weights ("
                                  : ", ASSUMED; the weights do not "
                                    "tell (") +
                   guess.reason + "); --i2s x86|arm overrides");
}

}  // namespace bitnet::model
