// SPDX-License-Identifier: MIT
// Checkpoint::load_weights: stored tensors to device tensors.
#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <thread>

#include "model/checkpoint.h"
#include "model/float_rows.h"
#include "model/trits.h"
#include "utils/checks.h"
#include "utils/thread_pool.h"

namespace bitnet::model {
namespace {

// Offsets at which kernels may read a mapped file with vector loads; new files of this library have
// larger ones (SafetensorsWriter, GGUF's 32).
constexpr std::size_t kViewAlignment = 16;

class Loader {
 public:
  Loader(const Checkpoint& checkpoint, const Device& device)
      : checkpoint_(checkpoint),
        device_(device),
        pool_(std::max(std::thread::hardware_concurrency(), 1U)) {}

  Tensor load_ternary(Slot slot) {
    const TernarySource source = checkpoint_.ternary(slot);
    const TernaryScales& scales = source.scales();
    const auto rows = source.rows();
    const auto count = static_cast<std::int64_t>(scales.values.size());
    const Shape shape = scales.group_size > 0 ? Shape{rows, count / rows} : Shape{count};
    const Tensor scale_tensor =
        Tensor::from_host(device_, std::span<const float>(scales.values), shape);
    if (source.form() == TernaryForm::two_bit) {
      if (const auto view = mapped(source.tensor())) {
        return Tensor::from_packed(device_, *view, rows, source.cols(), Packing::two_bit,
                                   scale_tensor, scales.group_size, source.tensor().offset);
      }
    }
    const Buffer codes = device_.allocate(packed_size(Packing::two_bit, rows, source.cols()));
    if (source.form() == TernaryForm::two_bit) {
      std::memcpy(codes.host().data(), source.tensor().data.data(), source.tensor().data.size());
    } else {
      source.pack_two_bit(codes.host().first(packed_size(Packing::two_bit, rows, source.cols())),
                          pool_);
    }
    return Tensor::from_packed(device_, codes, rows, source.cols(), Packing::two_bit, scale_tensor,
                               scales.group_size);
  }

  // f32, f16 and bf16 as they are, block formats as f16.
  Tensor load_float(Slot slot) {
    const StoredTensor& stored = checkpoint_.tensor(slot);
    if (!stored.is_float()) return decode_table(stored);
    const DType dtype = dtype_of(stored.encoding).value();
    if (const auto view = mapped(stored)) {
      return Tensor::from_buffer(device_, *view, stored.shape, dtype, stored.offset);
    }
    return Tensor::from_bytes(device_, stored.data, stored.shape, dtype);
  }

 private:
  // The file as a buffer of the device, when a view of the tensor in it will do.
  std::optional<Buffer> mapped(const StoredTensor& stored) {
    const Capabilities& capabilities = device_.capabilities();
    if (!capabilities.unified_memory || stored.offset % kViewAlignment != 0 ||
        stored.file->bytes().size() > capabilities.max_buffer_bytes) {
      return std::nullopt;
    }
    Buffer& buffer = files_[stored.file.get()];
    if (!buffer) buffer = device_.wrap(stored.file->bytes(), stored.file);
    return buffer;
  }

  Tensor decode_table(const StoredTensor& stored) {
    const Tensor table = Tensor::empty(device_, stored.shape, DType::f16);
    const auto cols = static_cast<std::size_t>(stored.shape[1]);
    pool_.parallel_for(static_cast<std::uint32_t>(stored.shape[0]), 16,
                       [&](std::uint32_t begin, std::uint32_t end) {
                         std::vector<float> values(cols);
                         for (std::size_t row = begin; row < end; ++row) {
                           read_floats(stored, row * cols, values);
                           write_floats(values, Encoding::f16,
                                        table.bytes().subspan(row * cols * 2, cols * 2));
                         }
                       });
    return table;
  }

  const Checkpoint& checkpoint_;
  const Device& device_;
  utils::ThreadPool pool_;
  std::map<const utils::MappedFile*, Buffer> files_;
};

Tensor& member(LayerWeights& layer, Role role) {
  switch (role) {
    case Role::input_norm:
      return layer.input_norm;
    case Role::q:
      return layer.q;
    case Role::k:
      return layer.k;
    case Role::v:
      return layer.v;
    case Role::attention_norm:
      return layer.attention_norm;
    case Role::o:
      return layer.o;
    case Role::post_norm:
      return layer.post_norm;
    case Role::gate:
      return layer.gate;
    case Role::up:
      return layer.up;
    case Role::ffn_norm:
      return layer.ffn_norm;
    case Role::down:
      return layer.down;
    default:
      utils::fail(ErrorCode::invalid_argument, "load_weights", "not a tensor of a layer");
  }
}

Tensor& member(Weights& weights, Slot slot) {
  if (slot.role == Role::embedding) return weights.embedding;
  if (slot.role == Role::final_norm) return weights.final_norm;
  if (slot.role == Role::head) return weights.head;
  return member(weights.layers[static_cast<std::size_t>(slot.layer)], slot.role);
}

}  // namespace

Weights Checkpoint::load_weights(const Device& device, const LoadOptions& options) const {
  Weights weights;
  weights.layers.resize(static_cast<std::size_t>(config_.layers));
  Loader loader(*this, device);
  const std::vector<Slot> slots = slots_of(config_);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (options.progress) {
      options.progress("loading weights",
                       static_cast<double>(i) / static_cast<double>(slots.size()));
    }
    member(weights, slots[i]) =
        is_ternary(slots[i].role) ? loader.load_ternary(slots[i]) : loader.load_float(slots[i]);
  }
  if (options.progress) options.progress("loading weights", 1.0);
  return weights;
}

}  // namespace bitnet::model
