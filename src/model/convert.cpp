// SPDX-License-Identifier: MIT
#include "model/convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <thread>

#include "model/float_rows.h"
#include "model/gguf_writer.h"
#include "model/output_folder.h"
#include "model/safetensors_writer.h"
#include "model/ternary_matrix.h"
#include "model/tokenizer_files.h"
#include "model/trits.h"
#include "utils/checks.h"

namespace bitnet::model {
namespace {

using Write = std::function<void(std::span<const std::byte>)>;

// Tables are converted a megabyte at a time.
constexpr std::uint64_t kPart = 1 << 18;  // elements, a multiple of every block

class Converter {
 public:
  Converter(const Checkpoint& input, const ConvertOptions& options)
      : input_(input), options_(options), pool_(std::max(std::thread::hardware_concurrency(), 1U)) {
    for (const Slot slot : slots_of(input.config())) {
      if (is_ternary(slot.role)) {
        plan_ternary(slot);
      } else {
        plan_float(slot);
      }
    }
  }

  [[nodiscard]] std::vector<TensorSpec> specs() const {
    std::vector<TensorSpec> result;
    for (const Planned& planned : plan_) result.push_back(planned.spec);
    return result;
  }
  [[nodiscard]] std::int64_t group_size() const noexcept { return group_size_; }

  void write_all(const Write& write) {
    const auto& progress = options_.input.progress;
    for (std::size_t i = 0; i < plan_.size(); ++i) {
      if (progress) {
        progress("converting", static_cast<double>(i) / static_cast<double>(plan_.size()));
      }
      plan_[i].produce(write);
    }
    if (progress) progress("converting", 1.0);
  }

 private:
  struct Planned {
    TensorSpec spec;
    std::function<void(const Write&)> produce;
  };

  [[nodiscard]] bool to_gguf() const { return options_.target.format == CheckpointFormat::gguf; }
  [[nodiscard]] std::string target_name(Slot slot) const {
    return to_gguf() ? gguf_name(slot.role, slot.layer) : hf_name(slot.role, slot.layer);
  }

  [[nodiscard]] RowOrder row_order(Role role) const {
    if (role != Role::q && role != Role::k) return RowOrder::keep;
    const bool from = input_.config().rope_style == RopeStyle::interleaved;
    // GGUF files of architectures without sub-norms ("llama") hold interleaved rows.
    const bool to = to_gguf() && !input_.config().sub_norms;
    if (from == to) return RowOrder::keep;
    return to ? RowOrder::to_interleaved : RowOrder::to_rotate_half;
  }

  [[nodiscard]] TernaryForm target_form() const {
    if (options_.target.format == CheckpointFormat::hugging_face) return TernaryForm::hf_packed;
    if (options_.target.format == CheckpointFormat::memory_mapped) return TernaryForm::two_bit;
    if (options_.target.ternary == Encoding::i2_s) return TernaryForm::i2_s;
    return options_.target.ternary == Encoding::tq1_0 ? TernaryForm::tq1_0 : TernaryForm::tq2_0;
  }

  void plan_ternary(Slot slot) {
    const auto source = std::make_shared<const TernarySource>(input_.ternary(slot));
    const TernaryForm form = target_form();
    const std::string name = target_name(slot);
    require_fits(form, source->rows(), source->cols(), source->scales(), name);
    TensorSpec spec{name, options_.target.ternary, {source->rows(), source->cols()}};
    if (!to_gguf()) spec.encoding = Encoding::u8;
    if (form == TernaryForm::hf_packed) spec.shape = {source->rows() / 4, source->cols()};
    if (form == TernaryForm::two_bit) {
      spec.shape = {
          source->rows(),
          static_cast<std::int64_t>(two_bit_row_bytes(static_cast<std::size_t>(source->cols())))};
    }
    const RowOrder order = row_order(slot.role);
    // The scales of the reordered rows are known once the matrix is read; they follow it.
    const auto scales = std::make_shared<std::vector<float>>();
    plan_.push_back({spec, [this, source, form, order, scales](const Write& write) {
                       const TernaryMatrix matrix =
                           read_matrix(*source, order, input_.config().head_dim, pool_);
                       *scales = matrix.scales.values;
                       write(encode_matrix(matrix, form));
                     }});
    plan_scales(*source, form, name, scales);
  }

  void plan_scales(const TernarySource& source, TernaryForm form, const std::string& name,
                   const std::shared_ptr<std::vector<float>>& scales) {
    const TernaryScales& known = source.scales();
    const auto count = static_cast<std::int64_t>(known.values.size());
    TensorSpec spec{name + "_scale", Encoding::f32, {count}};
    if (form == TernaryForm::i2_s) return;
    if (form == TernaryForm::tq1_0 || form == TernaryForm::tq2_0) {
      // A scale that f16 cannot hold goes into the tensor llama.cpp's bitnet graph multiplies by.
      if (!known.one_per_tensor() || scales_fit_f16(known)) return;
      spec.name = name.substr(0, name.size() - std::string_view("weight").size()) + "scale";
    } else if (form == TernaryForm::hf_packed) {
      const float scale = known.values.front();
      if (to_float(to_bfloat16(scale)) == scale) spec.encoding = Encoding::bf16;
    } else if (known.group_size > 0) {
      group_size_ = known.group_size;
      spec.shape = {source.rows(), count / source.rows()};
    }
    plan_.push_back({spec, [spec, scales](const Write& write) {
                       std::vector<std::byte> bytes(scales->size() *
                                                    (spec.encoding == Encoding::bf16 ? 2 : 4));
                       write_floats(*scales, spec.encoding, bytes);
                       write(bytes);
                     }});
  }

  void plan_float(Slot slot) {
    const StoredTensor& stored = input_.tensor(slot);
    const bool table = slot.role == Role::embedding || slot.role == Role::head;
    Encoding encoding = stored.encoding;
    if (table) {
      encoding = options_.table.value_or(encoding);
      // Safetensors has no block formats; see Checkpoint::load_weights on f16.
      if (!to_gguf() && !dtype_of(encoding)) encoding = Encoding::f16;
      if (encoding == Encoding::q6_k && stored.encoding != Encoding::q6_k) encoding = Encoding::f16;
      if (encoding == Encoding::q8_0 && stored.shape.back() % 32 != 0) {
        utils::fail(ErrorCode::unsupported, "convert", "tensor ", stored.name,
                    ": Q8_0 needs rows of a multiple of 32 weights, not ", stored.shape.back());
      }
    } else if (to_gguf()) {
      encoding = Encoding::f32;  // llama.cpp takes norms in f32 only
    } else if (stored.encoding == Encoding::f32 && is_exact_in_bf16(stored)) {
      encoding = Encoding::bf16;
    }
    plan_.push_back({{target_name(slot), encoding, stored.shape},
                     [&stored, encoding](const Write& write) { copy(stored, encoding, write); }});
  }

  static bool is_exact_in_bf16(const StoredTensor& norm) {
    std::vector<float> values(static_cast<std::size_t>(norm.shape.elements()));
    read_floats(norm, 0, values);
    return std::ranges::all_of(values,
                               [](float value) { return to_float(to_bfloat16(value)) == value; });
  }

  static void copy(const StoredTensor& stored, Encoding encoding, const Write& write) {
    if (encoding == stored.encoding) return write(stored.data);
    const auto count = static_cast<std::uint64_t>(stored.shape.elements());
    std::vector<float> values;
    std::vector<std::byte> bytes;
    for (std::uint64_t first = 0; first < count; first += kPart) {
      values.resize(static_cast<std::size_t>(std::min(kPart, count - first)));
      read_floats(stored, first, values);
      bytes.resize(static_cast<std::size_t>(stored_size(encoding, values.size()).value()));
      write_floats(values, encoding, bytes);
      write(bytes);
    }
  }

  const Checkpoint& input_;
  const ConvertOptions& options_;
  utils::ThreadPool pool_;
  std::vector<Planned> plan_;
  std::int64_t group_size_ = 0;
};

void write_gguf_file(const Checkpoint& input, const std::filesystem::path& output,
                     const ConvertOptions& options, std::vector<std::string>& notes) {
  Converter converter(input, options);
  GgufMetadata metadata;
  write_gguf_config(input.config(), metadata);
  metadata.add("general.name", input.path().filename().string());
  metadata.add("general.quantization_version", std::uint32_t{2});
  if (options.target.ternary == Encoding::i2_s) metadata.add(kI2sVariantKey, "x86");
  if (const GgufFile* gguf = input.gguf()) {
    copy_gguf_tokenizer(*gguf, metadata);
  } else {
    write_gguf_tokenizer(input.folder(), input.config(), metadata, notes);
  }
  const std::vector<TensorSpec> specs = converter.specs();
  GgufWriter writer(output, metadata, specs);
  converter.write_all([&](std::span<const std::byte> bytes) { writer.write(bytes); });
  writer.finish();
}

void write_folder(const Checkpoint& input, const std::filesystem::path& output,
                  const ConvertOptions& options, std::vector<std::string>& notes) {
  OutputFolder folder(output);
  Converter converter(input, options);
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  std::size_t alignment = 1;
  if (options.target.format == CheckpointFormat::memory_mapped) {
    alignment = kMappedAlignment;
    metadata[std::string(kMappedVersionKey)] = kMappedVersion;
    if (converter.group_size() > 0) {
      metadata[std::string(kMappedGroupKey)] = std::to_string(converter.group_size());
    }
  }
  SafetensorsWriter writer(folder.temporary() / "model.safetensors", converter.specs(), metadata,
                           alignment);
  converter.write_all([&](std::span<const std::byte> bytes) { writer.write(bytes); });
  writer.finish();
  folder.write_text("config.json", write_hf_config(input.config()));
  if (const GgufFile* gguf = input.gguf()) {
    write_hf_tokenizer(*gguf, folder, notes);
  } else {
    copy_tokenizer_files(input.folder(), folder);
  }
  folder.commit();
}

}  // namespace

ConvertTarget parse_convert_target(std::string_view text) {
  if (text == "hf") return {CheckpointFormat::hugging_face, Encoding::u8};
  if (text == "mapped") return {CheckpointFormat::memory_mapped, Encoding::u8};
  if (text == "i2_s") return {CheckpointFormat::gguf, Encoding::i2_s};
  if (text == "tq1_0") return {CheckpointFormat::gguf, Encoding::tq1_0};
  if (text == "tq2_0") return {CheckpointFormat::gguf, Encoding::tq2_0};
  utils::fail(ErrorCode::invalid_argument, "convert", "unknown format '", text,
              "'; known: hf, mapped, i2_s, tq1_0, tq2_0");
}

std::vector<std::string> convert(const std::filesystem::path& input,
                                 const std::filesystem::path& output,
                                 const ConvertOptions& options) {
  if (options.table) {
    const Encoding table = *options.table;
    utils::require(table == Encoding::f32 || table == Encoding::f16 || table == Encoding::bf16 ||
                       (table == Encoding::q8_0 && options.target.format == CheckpointFormat::gguf),
                   "convert", "an embedding cannot be stored as ", name(table), " there");
  }
  const Checkpoint checkpoint = Checkpoint::open(input, options.input);
  std::vector<std::string> notes = checkpoint.notes();
  if (options.target.format == CheckpointFormat::gguf) {
    write_gguf_file(checkpoint, output, options, notes);
  } else {
    write_folder(checkpoint, output, options, notes);
  }
  return notes;
}

}  // namespace bitnet::model
