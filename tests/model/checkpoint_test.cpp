// SPDX-License-Identifier: MIT
#include "model/checkpoint.h"

#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "model/float_rows.h"
#include "model/safetensors_writer.h"
#include "support/devices.h"
#include "support/model_files.h"
#include "support/process.h"

namespace bitnet::model {
namespace {

using bitnet::testing::cpu;
using bitnet::testing::Random;
using bitnet::testing::TemporaryFolder;
using testing::Bytes;
using testing::error_of;
using testing::golden;
using ::testing::HasSubstr;

// Trits of a `2bit` tensor, by the definition in bitnet/types.h.
std::vector<int> trits_of(const Tensor& tensor) {
  const std::int64_t rows = tensor.shape()[0];
  const std::int64_t cols = tensor.shape()[1];
  const std::int64_t row_bytes = (cols + 63) / 64 * 16;
  std::vector<int> trits;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t col = 0; col < 4 * row_bytes; ++col) {
      const std::byte byte = tensor.bytes()[static_cast<std::size_t>(row * row_bytes + col / 4)];
      const int trit = (static_cast<int>(byte) >> (2 * (col % 4)) & 3) - 1;
      if (col < cols) {
        trits.push_back(trit);
      } else {
        EXPECT_EQ(trit, 0) << "padding";
      }
    }
  }
  return trits;
}

const StoredTensor& stored(const SafetensorsFile& file, const std::string& name) {
  const auto found = std::ranges::find(file.tensors, name, &StoredTensor::name);
  EXPECT_NE(found, file.tensors.end()) << name;
  return *found;
}

float first_float(const StoredTensor& tensor) {
  float value = 0.0F;
  read_floats(tensor, 0, std::span(&value, 1));
  return value;
}

const Tensor& member(const LayerWeights& layer, Role role) {
  switch (role) {
    case Role::q:
      return layer.q;
    case Role::k:
      return layer.k;
    case Role::v:
      return layer.v;
    case Role::o:
      return layer.o;
    case Role::gate:
      return layer.gate;
    case Role::up:
      return layer.up;
    default:
      return layer.down;
  }
}

void expect_packed(const std::string& name, bool divides) {
  SCOPED_TRACE(name);
  const Checkpoint checkpoint = Checkpoint::open(golden(name));
  const Weights weights = checkpoint.load_weights(cpu());
  const SafetensorsFile file =
      read_safetensors(utils::MappedFile::open(golden(name) / "model.safetensors"));
  for (std::int64_t layer = 0; layer < checkpoint.config().layers; ++layer) {
    for (const Role role : kTernaryRoles) {
      const Tensor& tensor = member(weights.layers[static_cast<std::size_t>(layer)], role);
      const StoredTensor& packed = stored(file, hf_name(role, layer));
      const std::int64_t quarter = packed.shape[0];
      const std::int64_t cols = packed.shape[1];
      ASSERT_EQ(tensor.shape(), (Shape{4 * quarter, cols}));
      const std::vector<int> trits = trits_of(tensor);
      for (std::int64_t row = 0; row < 4 * quarter; ++row) {
        for (std::int64_t col = 0; col < cols; ++col) {
          const std::byte byte = packed.data[static_cast<std::size_t>(row % quarter * cols + col)];
          const int expected = (static_cast<int>(byte) >> (2 * (row / quarter)) & 3) - 1;
          ASSERT_EQ(trits[static_cast<std::size_t>(row * cols + col)], expected);
        }
      }
      const float scale = first_float(stored(file, hf_name(role, layer) + "_scale"));
      EXPECT_EQ(tensor.scales().to_host<float>().front(), divides ? 1.0F / scale : scale);
    }
  }
}

TEST(Checkpoint, LoadsPackedGoldenModels) {
  expect_packed("models/bitnet-tied/autobitlinear", false);
  expect_packed("models/bitnet-tied/bitlinear", true);
  expect_packed("models/bitnet-untied/autobitlinear", false);
  expect_packed("models/llama-untied/bitlinear", true);
  expect_packed("models/llama-tied/bitlinear", true);
}

TEST(Checkpoint, QuantisesMastersAsTransformersDoes) {
  const Checkpoint masters = Checkpoint::open(golden("models/bitnet-tied/online"));
  const Checkpoint packed = Checkpoint::open(golden("models/bitnet-tied/autobitlinear"));
  const Weights from_masters = masters.load_weights(cpu());
  const Weights from_packed = packed.load_weights(cpu());
  for (std::size_t layer = 0; layer < from_masters.layers.size(); ++layer) {
    for (const Role role : kTernaryRoles) {
      const Tensor& tensor = member(from_masters.layers[layer], role);
      const Tensor& reference = member(from_packed.layers[layer], role);
      EXPECT_EQ(trits_of(tensor), trits_of(reference));
      // The packed file holds the mean rounded to bf16.
      const float mean = tensor.scales().to_host<float>().front();
      EXPECT_EQ(to_float(to_bfloat16(mean)), reference.scales().to_host<float>().front());
    }
  }
  EXPECT_FALSE(from_masters.head);
  EXPECT_EQ(from_masters.embedding.dtype(), DType::bf16);
  EXPECT_EQ(from_masters.embedding.shape(), (Shape{259, 48}));
  EXPECT_EQ(from_masters.layers[0].attention_norm.shape(), (Shape{48}));
}

TEST(Checkpoint, OpensOneFileOfAFolderAndReportsProgress) {
  std::vector<double> fractions;
  LoadOptions options;
  options.progress = [&](std::string_view, double fraction) { fractions.push_back(fraction); };
  const Checkpoint checkpoint =
      Checkpoint::open(golden("models/bitnet-untied/autobitlinear/model.safetensors"));
  const Weights weights = checkpoint.load_weights(cpu(), options);
  EXPECT_TRUE(weights.head);
  EXPECT_TRUE(std::ranges::is_sorted(fractions));
  EXPECT_EQ(fractions.back(), 1.0);
}

// A folder whose tensors a test can change before it is written.
class SmallModel {
 public:
  struct Entry {
    TensorSpec spec;
    Bytes bytes;
  };

  SmallModel() {
    config = {
        {"architectures", {"BitNetForCausalLM"}},
        {"vocab_size", 6},
        {"hidden_size", 8},
        {"intermediate_size", 12},
        {"num_hidden_layers", 1},
        {"num_attention_heads", 2},
        {"num_key_value_heads", 1},
        {"tie_word_embeddings", true},
        {"quantization_config", {{"quant_method", "bitnet"}, {"linear_class", "autobitlinear"}}}};
    const ModelConfig model = parse_hf_config(config.dump(), "test").model;
    for (const Slot slot : slots_of(model)) {
      Shape shape = shape_of(slot.role, model);
      const std::string name = hf_name(slot.role, slot.layer);
      if (is_ternary(slot.role)) {
        shape[0] /= 4;
        set(name, Encoding::u8, shape,
            Bytes(static_cast<std::size_t>(shape.elements()), std::byte{0x52}));
        set_floats(name + "_scale", {1}, {0.5F});
      } else {
        set_floats(name, shape,
                   std::vector<float>(static_cast<std::size_t>(shape.elements()), 1.0F));
      }
    }
  }

  void set(const std::string& name, Encoding encoding, Shape shape, Bytes bytes) {
    entries[name] = {{name, encoding, shape}, std::move(bytes)};
  }
  void set_floats(const std::string& name, Shape shape, const std::vector<float>& values,
                  Encoding encoding = Encoding::f32) {
    Bytes bytes(static_cast<std::size_t>(stored_size(encoding, values.size()).value()));
    write_floats(values, encoding, bytes);
    set(name, encoding, shape, std::move(bytes));
  }

  [[nodiscard]] Weights load() const {
    const TemporaryFolder folder;
    write(folder.path());
    return Checkpoint::open(folder.path()).load_weights(cpu());
  }
  void write(const std::filesystem::path& folder) const {
    std::vector<TensorSpec> specs;
    for (const auto& [name, entry] : entries) specs.push_back(entry.spec);
    SafetensorsWriter writer(folder / "model.safetensors", specs, metadata);
    for (const auto& [name, entry] : entries) writer.write(entry.bytes);
    writer.finish();
    testing::write_text(folder / "config.json", config.dump());
  }

  nlohmann::json config;
  std::map<std::string, Entry> entries;
  std::map<std::string, std::string> metadata;
};

const std::string kQ = "model.layers.0.self_attn.q_proj.weight";

TEST(Checkpoint, NamesWhatIsWrong) {
  const auto refuse = [](ErrorCode code, auto&& change, const std::vector<std::string>& messages) {
    SmallModel model;
    change(model);
    const std::string text = error_of(code, [&] { (void)model.load(); });
    for (const std::string& message : messages) EXPECT_THAT(text, HasSubstr(message));
  };
  constexpr auto kBad = ErrorCode::bad_file;
  constexpr auto kUnsupported = ErrorCode::unsupported;
  (void)SmallModel().load();
  refuse(kBad, [](SmallModel& m) { m.entries.erase(kQ); }, {kQ, "is missing"});
  refuse(kBad, [](SmallModel& m) { m.entries.erase(kQ + "_scale"); }, {kQ, "scale is missing"});
  refuse(kBad,
         [](SmallModel& m) {
           m.set(kQ, Encoding::u8, {2, 9}, Bytes(18));
         },
         {kQ, "[2, 9]", "[2, 8]", "8 x 8"});
  refuse(kBad, [](SmallModel& m) { m.set(kQ, Encoding::u8, {3, 8}, Bytes(24)); }, {kQ, "[3, 8]"});
  refuse(kBad, [](SmallModel& m) { m.entries[kQ].bytes[9] = std::byte{0x5C}; },
         {kQ, "column 1", "code 3"});
  for (const float scale : {0.0F, std::nanf(""), INFINITY}) {
    refuse(kBad, [&](SmallModel& m) { m.set_floats(kQ + "_scale", {1}, {scale}); },
           {kQ + "_scale", "not finite or zero"});
  }
  refuse(kBad,
         [](SmallModel& m) {
           m.set_floats(kQ + "_scale", {2}, {1.0F, 2.0F});
         },
         {kQ + "_scale", "[2]"});
  refuse(kBad, [](SmallModel& m) { m.set_floats("model.norm.weight", {7}, std::vector(7, 1.0F)); },
         {"model.norm.weight", "[7]", "[8]"});
  refuse(kUnsupported,
         [](SmallModel& m) { m.set("model.norm.weight", Encoding::u8, {8}, Bytes(8)); },
         {"model.norm.weight", "U8"});
  refuse(kUnsupported,
         [](SmallModel& m) {
           m.set_floats("model.layers.0.self_attn.q_proj.bias", {8}, std::vector(8, 1.0F));
         },
         {"q_proj.bias", "biases"});
  refuse(kUnsupported, [](SmallModel& m) { m.set_floats("model.extra", {1}, {1.0F}); },
         {"model.extra", "not part of"});
  refuse(kUnsupported,
         [](SmallModel& m) {
           m.config["quantization_config"]["modules_to_not_convert"] = {"lm_head", "q_proj"};
         },
         {"q_proj", "must be ternary"});
  refuse(kBad, [](SmallModel& m) { m.config["tie_word_embeddings"] = false; },
         {"lm_head.weight", "is missing"});
  refuse(kUnsupported, [](SmallModel& m) { m.metadata["bitnet_metal.mapped"] = "2"; },
         {"version 2"});
  refuse(kBad,
         [](SmallModel& m) {
           m.set_floats(kQ, {8, 8}, std::vector(64, 0.5F));
           m.entries[kQ].bytes[0] = std::byte{1};
         },
         {kQ, "not ternary"});
}

TEST(Checkpoint, RefusesPackedMatricesWhoseRowsAreNoMultipleOfFour) {
  SmallModel model;
  model.config["head_dim"] = 2;
  model.config["num_attention_heads"] = 3;
  model.config["num_key_value_heads"] = 1;
  model.set("model.layers.0.self_attn.q_proj.weight", Encoding::u8, {2, 8}, Bytes(16));
  model.set_floats("model.layers.0.self_attn.attn_sub_norm.weight", {6}, std::vector(6, 1.0F));
  EXPECT_THAT(error_of(ErrorCode::bad_file, [&] { (void)model.load(); }),
              HasSubstr("multiple of 4"));
}

TEST(Checkpoint, TakesDenseWeightsThatAreTernary) {
  Random random;
  for (const Encoding encoding : {Encoding::f32, Encoding::f16, Encoding::bf16}) {
    SmallModel model;
    std::vector<float> values(64);
    std::vector<int> expected;
    for (float& value : values) {
      expected.push_back(static_cast<int>(random.integer(-1, 1)));
      value = 0.25F * static_cast<float>(expected.back());
    }
    model.set_floats(kQ, {8, 8}, values, encoding);
    const Weights weights = model.load();
    EXPECT_EQ(trits_of(weights.layers[0].q), expected);
    EXPECT_EQ(weights.layers[0].q.scales().to_host<float>().front(), 0.125F);  // times 0.5
  }
}

TEST(Checkpoint, QuantisesRandomMastersOfAwkwardMagnitudes) {
  Random random;
  SCOPED_TRACE(random.seed());
  for (const float deviation : {1.0F, 1e-3F, 1e-9F}) {
    SmallModel model;
    model.config["quantization_config"]["quantization_mode"] = "online";
    const std::vector<float> values = random.normal(64, deviation);
    model.set_floats(kQ, {8, 8}, values);
    model.entries.erase(kQ + "_scale");
    double sum = 0.0;
    for (const float value : values) sum += std::fabs(static_cast<double>(value));
    const float scale = std::max(static_cast<float>(sum / 64.0), 1e-5F);
    std::vector<int> expected;
    for (const float value : values) {
      expected.push_back(
          std::clamp(static_cast<int>(std::nearbyint(value * (1.0F / scale))), -1, 1));
    }
    const Weights weights = model.load();
    EXPECT_EQ(trits_of(weights.layers[0].q), expected);
    // The order of the sum may change the last bit.
    EXPECT_FLOAT_EQ(weights.layers[0].q.scales().to_host<float>().front(), scale);
  }
  SmallModel broken;
  broken.config["quantization_config"]["quantization_mode"] = "online";
  std::vector<float> values(64, 1.0F);
  values[7] = std::nanf("");
  broken.set_floats(kQ, {8, 8}, values);
  EXPECT_THAT(error_of(ErrorCode::bad_file, [&] { (void)broken.load(); }),
              HasSubstr("not a number"));
}

TEST(Checkpoint, ReadsTheNamesOf1bitLLM) {
  SmallModel model;
  model.config["architectures"] = {"BitnetForCausalLM"};
  model.config["hidden_act"] = "silu";
  const auto rename = [&](const std::string& from, const std::string& to) {
    SmallModel::Entry entry = model.entries.at(from);
    model.set(to, entry.spec.encoding, entry.spec.shape, entry.bytes);
    model.entries.erase(from);
  };
  rename("model.layers.0.self_attn.attn_sub_norm.weight",
         "model.layers.0.self_attn.inner_attn_ln.weight");
  rename("model.layers.0.mlp.ffn_sub_norm.weight", "model.layers.0.mlp.ffn_layernorm.weight");
  EXPECT_TRUE(model.load().layers[0].ffn_norm);
}

}  // namespace
}  // namespace bitnet::model
