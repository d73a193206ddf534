// SPDX-License-Identifier: MIT
#include "model/inspect.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <map>
#include <mutex>
#include <thread>

#include "model/checkpoint.h"
#include "model/float_rows.h"
#include "model/safetensors.h"
#include "model/trits.h"
#include "utils/checks.h"

namespace bitnet::model {
namespace {

TensorReport describe(const StoredTensor& tensor) {
  TensorReport report;
  report.name = tensor.name;
  report.type = tensor.type;
  report.shape = tensor.shape;
  report.bytes = tensor.data.size();
  report.offset = tensor.offset;
  report.file = tensor.file->path().filename().string();
  return report;
}

class Inspector {
 public:
  Inspector(InspectReport& report, const LoadOptions& options)
      : report_(report),
        options_(options),
        pool_(std::max(std::thread::hardware_concurrency(), 1U)) {}

  void run(const std::filesystem::path& path) {
    try {
      const Checkpoint checkpoint = Checkpoint::open(path, options_);
      check(checkpoint);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::bad_file && error.code() != ErrorCode::unsupported) throw;
      add(Severity::error, "", error.what());
      if (report_.tensors.empty()) list_without_config(path);
    }
  }

 private:
  void add(Severity severity, const std::string& tensor, const std::string& text) {
    report_.findings.push_back({severity, tensor, text});
  }

  // The tensors of a container whose configuration is missing, damaged or unsupported.
  void list_without_config(const std::filesystem::path& path) {
    try {
      std::vector<StoredTensor> tensors;
      if (path.extension() == ".gguf") {
        tensors = read_gguf(utils::MappedFile::open(path)).tensors;
      } else {
        const bool folder = std::filesystem::is_directory(path);
        const auto file = folder ? path / "model.safetensors" : path;
        if (!std::filesystem::exists(file)) return;
        tensors = read_safetensors(utils::MappedFile::open(file)).tensors;
      }
      for (const StoredTensor& tensor : tensors) {
        report_.tensors.push_back(describe(tensor));
        check_floats(tensor);
      }
    } catch (const Error& error) {
      if (error.code() != ErrorCode::bad_file) throw;
      if (report_.findings.back().text != error.what()) add(Severity::error, "", error.what());
    }
  }

  void check(const Checkpoint& checkpoint) {
    constexpr std::array<const char*, 3> kNames = {"hugging_face", "memory_mapped", "gguf"};
    report_.format = kNames[static_cast<std::size_t>(checkpoint.format())];
    report_.config = checkpoint.config();
    for (const std::string& note : checkpoint.notes()) add(Severity::warning, "", note);
    std::map<std::string, std::size_t> index;
    for (const StoredTensor& tensor : checkpoint.tensors()) {
      if (tensor.name.starts_with("__padding__.")) continue;
      index[tensor.name] = report_.tensors.size();
      report_.tensors.push_back(describe(tensor));
    }
    const std::vector<Slot> slots = slots_of(checkpoint.config());
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (options_.progress) {
        options_.progress("inspecting", static_cast<double>(i) / static_cast<double>(slots.size()));
      }
      const StoredTensor& tensor = checkpoint.tensor(slots[i]);
      if (is_ternary(slots[i].role)) {
        check_ternary(checkpoint, slots[i], report_.tensors[index.at(tensor.name)]);
      } else {
        check_floats(tensor);
      }
    }
    if (options_.progress) options_.progress("inspecting", 1.0);
  }

  struct Counts {
    std::array<std::uint64_t, 4> codes{};
    std::uint64_t bad_padding = 0;  // bytes of rows whose padding is not zero
  };

  void check_ternary(const Checkpoint& checkpoint, Slot slot, TensorReport& report) {
    std::optional<TernarySource> source;
    try {
      source = checkpoint.ternary(slot);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::bad_file) throw;
      return add(Severity::error, report.name, error.what());
    }
    const Counts counts = count_codes(*source);
    const auto total = static_cast<double>(source->rows() * source->cols());
    report.zeros = static_cast<double>(counts.codes[1]) / total;
    if (source->scales().one_per_tensor()) report.scale = source->scales().values.front();
    if (counts.codes[3] > 0) {
      add(Severity::error, report.name,
          std::to_string(counts.codes[3]) + " weights hold the code 3, which is no trit");
    }
    if (counts.bad_padding > 0) {
      add(Severity::error, report.name,
          std::to_string(counts.bad_padding) + " rows have padding that is not zero");
    }
    if (*report.zeros == 1.0) {
      add(Severity::error, report.name, "EVERY WEIGHT IS ZERO: the layer computes nothing");
    } else if (counts.codes[0] + counts.codes[3] == 0 || counts.codes[2] == 0) {
      add(Severity::warning, report.name, "all weights have one sign or are zero");
    }
    if (std::ranges::any_of(source->scales().values, [](float scale) { return scale < 0.0F; })) {
      add(Severity::warning, report.name, "a scale is negative");
    }
  }

  Counts count_codes(const TernarySource& source) {
    Counts total;
    std::mutex mutex;
    const auto cols = static_cast<std::size_t>(source.cols());
    pool_.parallel_for(static_cast<std::uint32_t>(source.rows()), 16,
                       [&](std::uint32_t begin, std::uint32_t end) {
                         Counts part;
                         std::vector<std::uint8_t> codes(cols);
                         for (std::uint32_t row = begin; row < end; ++row) {
                           source.decode_row_unchecked(row, codes);
                           for (const std::uint8_t code : codes) ++part.codes[code];
                           if (source.form() == TernaryForm::two_bit) {
                             part.bad_padding += has_bad_padding(source, row, codes) ? 1 : 0;
                           }
                         }
                         const std::scoped_lock lock(mutex);
                         for (std::size_t i = 0; i < 4; ++i) total.codes[i] += part.codes[i];
                         total.bad_padding += part.bad_padding;
                       });
    return total;
  }

  // A row packed again from its codes has the padding it must have.
  static bool has_bad_padding(const TernarySource& source, std::uint32_t row, Codes codes) {
    const std::size_t bytes = two_bit_row_bytes(codes.size());
    std::vector<std::byte> packed(bytes);
    pack_two_bit_row(codes, packed);
    return !std::ranges::equal(packed, source.tensor().data.subspan(row * bytes, bytes));
  }

  void check_floats(const StoredTensor& tensor) {
    if (!is_readable_as_float(tensor.encoding)) return;
    constexpr std::uint64_t kPart = 1 << 16;  // elements, a multiple of every block
    const auto count = static_cast<std::uint64_t>(tensor.shape.elements());
    const auto parts = static_cast<std::uint32_t>((count + kPart - 1) / kPart);
    std::atomic<std::uint64_t> not_finite = 0;
    pool_.parallel_for(parts, 1, [&](std::uint32_t begin, std::uint32_t end) {
      std::vector<float> values;
      for (std::uint64_t part = begin; part < end; ++part) {
        values.resize(static_cast<std::size_t>(std::min(kPart, count - part * kPart)));
        read_floats(tensor, part * kPart, values);
        not_finite += static_cast<std::uint64_t>(
            std::ranges::count_if(values, [](float value) { return !std::isfinite(value); }));
      }
    });
    if (not_finite > 0) {
      add(Severity::error, tensor.name,
          std::to_string(not_finite) + " of " + std::to_string(count) +
              " values are infinite or not numbers");
    }
  }

  InspectReport& report_;
  const LoadOptions& options_;
  utils::ThreadPool pool_;
};

}  // namespace

bool InspectReport::sound() const noexcept {
  return std::ranges::none_of(
      findings, [](const Finding& finding) { return finding.severity == Severity::error; });
}

InspectReport inspect(const std::filesystem::path& path, const LoadOptions& options) {
  InspectReport report;
  report.path = path.string();
  report.format = "unknown";
  Inspector(report, options).run(path);
  return report;
}

}  // namespace bitnet::model
