// SPDX-License-Identifier: MIT
// Metadata, configuration, and every tensor decoded.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bitnet/error.h"

#include "model/config.h"
#include "model/float_rows.h"
#include "model/gguf.h"
#include "model/ternary_source.h"

namespace {

using namespace bitnet;  // NOLINT(google-build-using-namespace)

void decode(const model::StoredTensor& tensor) {
  if (model::is_readable_as_float(tensor.encoding)) {
    std::vector<float> values(static_cast<std::size_t>(tensor.shape.elements()));
    model::read_floats(tensor, 0, values);
  }
  if (tensor.shape.rank() != 2 || tensor.shape.elements() == 0) return;
  for (const auto& [encoding, form] :
       {std::pair(model::Encoding::i2_s, model::TernaryForm::i2_s),
        std::pair(model::Encoding::tq1_0, model::TernaryForm::tq1_0),
        std::pair(model::Encoding::tq2_0, model::TernaryForm::tq2_0),
        std::pair(model::Encoding::f16, model::TernaryForm::dense_masters),
        std::pair(model::Encoding::f32, model::TernaryForm::dense_trits)}) {
    if (tensor.encoding != encoding) continue;
    for (const I2sVariant variant : {I2sVariant::x86, I2sVariant::arm}) {
      model::TernaryLayout layout;
      layout.form = form;
      layout.rows = tensor.shape[0];
      layout.cols = tensor.shape[1];
      layout.variant = variant;
      const model::TernarySource source(tensor, layout);
      std::vector<std::uint8_t> codes(static_cast<std::size_t>(layout.cols));
      for (std::int64_t row = 0; row < layout.rows; ++row) source.decode_row(row, codes);
    }
  }
}

// Damage in one tensor must not hide the others from the fuzzer.
template <typename Body>
void attempt(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::bad_file && error.code() != ErrorCode::unsupported) throw;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> bytes(begin, begin + size);
  attempt([&] {
    const model::GgufFile file = model::parse_gguf(bytes, "fuzz");
    attempt([&] { (void)model::read_gguf_config(file); });
    for (const model::StoredTensor& tensor : file.tensors) {
      attempt([&] { decode(tensor); });
    }
    for (const model::GgufEntry& entry : file.metadata) {
      attempt([&] {
        const model::GgufArray* array = file.array(entry.key);
        for (std::uint64_t i = 0; i < array->count && !array->raw.empty(); ++i) {
          (void)array->number(static_cast<std::size_t>(i));
        }
      });
    }
  });
  return 0;
}
