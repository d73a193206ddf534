// SPDX-License-Identifier: MIT
#include "model/convert.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "model/float_rows.h"
#include "model/random_model.h"
#include "model/ternary_matrix.h"
#include "support/devices.h"
#include "support/model_files.h"
#include "support/process.h"

namespace bitnet::model {
namespace {

using bitnet::testing::cpu;
using bitnet::testing::Random;
using bitnet::testing::TemporaryFolder;
using testing::error_of;
using testing::golden;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Everything a network computes with, as plain numbers in the row order of Hugging Face.
struct Network {
  std::vector<TernaryMatrix> matrices;
  std::vector<std::vector<float>> floats;
};

Network network_of(const std::filesystem::path& path) {
  const Checkpoint checkpoint = Checkpoint::open(path);
  utils::ThreadPool pool(1);
  Network network;
  for (const Slot slot : slots_of(checkpoint.config())) {
    if (is_ternary(slot.role)) {
      const bool permuted = checkpoint.config().rope_style == RopeStyle::interleaved &&
                            (slot.role == Role::q || slot.role == Role::k);
      network.matrices.push_back(read_matrix(checkpoint.ternary(slot),
                                             permuted ? RowOrder::to_rotate_half : RowOrder::keep,
                                             checkpoint.config().head_dim, pool));
    } else {
      const StoredTensor& tensor = checkpoint.tensor(slot);
      std::vector<float> values(static_cast<std::size_t>(tensor.shape.elements()));
      read_floats(tensor, 0, values);
      network.floats.push_back(std::move(values));
    }
  }
  return network;
}

void expect_same(const Network& a, const Network& b) {
  ASSERT_EQ(a.matrices.size(), b.matrices.size());
  for (std::size_t i = 0; i < a.matrices.size(); ++i) {
    EXPECT_EQ(a.matrices[i].codes, b.matrices[i].codes) << i;
    EXPECT_EQ(a.matrices[i].scales.values, b.matrices[i].scales.values) << i;
    EXPECT_EQ(a.matrices[i].scales.group_size, b.matrices[i].scales.group_size) << i;
  }
  EXPECT_EQ(a.floats, b.floats);
}

std::vector<std::string> convert_to(const std::filesystem::path& input,
                                    const std::filesystem::path& output, const char* target) {
  ConvertOptions options;
  options.target = parse_convert_target(target);
  return convert(input, output, options);
}

// Rows of 256 columns, which every format can hold. `sub_norms` 0 makes a Llama.
std::filesystem::path random_model(const TemporaryFolder& folder, const std::string& shape) {
  static int count = 0;
  const auto path = folder.path() / ("random" + std::to_string(count++));
  Random random;
  write_random_model(parse_shape(shape), static_cast<std::uint64_t>(random.integer(0, 1 << 30)),
                     path);
  return path;
}

class ConvertRoundTrip : public ::testing::TestWithParam<std::string> {};

TEST_P(ConvertRoundTrip, IsExactThroughEveryFormat) {
  const TemporaryFolder folder;
  const auto source = random_model(folder, GetParam());
  const Network network = network_of(source);
  for (const char* target : {"i2_s", "tq1_0", "tq2_0"}) {
    SCOPED_TRACE(target);
    const auto gguf = folder.path() / (std::string(target) + ".gguf");
    EXPECT_THAT(convert_to(source, gguf, target), ::testing::ElementsAre(HasSubstr("tokenizer")));
    expect_same(network, network_of(gguf));
    EXPECT_THAT(Checkpoint::open(gguf).notes(), IsEmpty());
    for (const char* back : {"hf", "mapped"}) {
      const auto again = folder.path() / (std::string(target) + back);
      convert_to(gguf, again, back);
      expect_same(network, network_of(again));
      if (back == std::string("hf")) {
        // bf16 norms became f32 and came back; the file is the one it was.
        EXPECT_EQ(testing::read_bytes(source / "model.safetensors"),
                  testing::read_bytes(again / "model.safetensors"));
        EXPECT_EQ(nlohmann::json::parse(testing::read_text(source / "config.json")),
                  nlohmann::json::parse(testing::read_text(again / "config.json")));
      } else {
        const auto gguf_again = folder.path() / "again.gguf";
        convert_to(again, gguf_again, target);
        expect_same(network, network_of(gguf_again));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ConvertRoundTrip,
    ::testing::Values("hidden=256,ffn=512,layers=2,heads=4,kv_heads=2,vocab=37",
                      "hidden=256,ffn=256,layers=1,heads=2,head_dim=128,vocab=64,tied=0",
                      "hidden=256,ffn=256,layers=2,heads=8,kv_heads=2,vocab=32,sub_norms=0"));

TEST(Convert, MapsGoldenModelsWithoutAChange) {
  const TemporaryFolder folder;
  int count = 0;
  for (const char* name :
       {"bitnet-tied/autobitlinear", "bitnet-tied/bitlinear", "bitnet-tied/online",
        "bitnet-untied/autobitlinear", "llama-untied/bitlinear", "llama-tied/bitlinear"}) {
    SCOPED_TRACE(name);
    const auto source = golden("models/" + std::string(name));
    const Network network = network_of(source);
    const auto mapped = folder.path() / ("mapped" + std::to_string(count));
    EXPECT_THAT(convert_to(source, mapped, "mapped"), IsEmpty());
    expect_same(network, network_of(mapped));
    EXPECT_EQ(std::filesystem::exists(mapped / "tokenizer.json"),
              std::filesystem::exists(source / "tokenizer.json"));
    const auto packed = folder.path() / ("hf" + std::to_string(count++));
    convert_to(source, packed, "hf");
    expect_same(network, network_of(packed));
  }
}

TEST(Convert, MappedFormIsUsedInPlace) {
  const TemporaryFolder folder;
  const auto mapped = folder.path() / "mapped";
  convert_to(golden("models/bitnet-tied/autobitlinear"), mapped, "mapped");
  const Checkpoint checkpoint = Checkpoint::open(mapped);
  EXPECT_EQ(checkpoint.format(), CheckpointFormat::memory_mapped);
  const Weights weights = checkpoint.load_weights(cpu());
  const auto file = checkpoint.tensors().front().file->bytes();
  const auto is_view = [&](const Tensor& tensor) {
    return tensor.bytes().data() >= file.data() &&
           tensor.bytes().data() + tensor.bytes().size() <= file.data() + file.size();
  };
  EXPECT_TRUE(is_view(weights.embedding));
  EXPECT_TRUE(is_view(weights.layers[1].down));
  EXPECT_EQ(weights.layers[1].down.offset() % kMappedAlignment, 0U);
  // Any reader of safetensors takes it: no gaps, no unknown types.
  EXPECT_NO_THROW((void)read_safetensors(utils::MappedFile::open(mapped / "model.safetensors")));
}

TEST(Convert, KeepsAScaleThatF16CannotHold) {
  const TemporaryFolder folder;
  const auto source = random_model(folder, "hidden=256,ffn=256,layers=1,heads=2,vocab=8");
  // bf16 2^-30 is below f16's smallest number.
  testing::Bytes bytes = testing::read_bytes(source / "model.safetensors");
  SafetensorsFile file = parse_safetensors(bytes, "FILE");
  for (StoredTensor& tensor : file.tensors) {
    if (!tensor.name.ends_with("_scale")) continue;
    const std::uint16_t bits = to_bfloat16(0x1.8p-30F).bits;
    tensor.data[0] = static_cast<std::byte>(bits & 0xFFU);
    tensor.data[1] = static_cast<std::byte>(bits >> 8);
  }
  testing::write_bytes(source / "model.safetensors", bytes);
  for (const char* target : {"i2_s", "tq1_0", "tq2_0"}) {
    const auto gguf = folder.path() / "x.gguf";
    convert_to(source, gguf, target);
    const Network network = network_of(gguf);
    EXPECT_EQ(network.matrices[0].scales.values, std::vector<float>{0x1.8p-30F});
    expect_same(network_of(source), network);
  }
}

TEST(Convert, RoundsOnlyTheTable) {
  const TemporaryFolder folder;
  const auto source = random_model(folder, "hidden=256,ffn=256,layers=1,heads=2,vocab=33,tied=0");
  const Network network = network_of(source);
  for (const Encoding table : {Encoding::f32, Encoding::f16, Encoding::bf16, Encoding::q8_0}) {
    ConvertOptions options;
    options.target = parse_convert_target("i2_s");
    options.table = table;
    const auto gguf = folder.path() / "x.gguf";
    convert(source, gguf, options);
    EXPECT_EQ(Checkpoint::open(gguf).tensor({Role::embedding, 0}).encoding, table);
    EXPECT_EQ(Checkpoint::open(gguf).tensor({Role::head, 0}).encoding, table);
    Network converted = network_of(gguf);
    for (std::size_t i = 0; i < network.floats.size(); ++i) {
      // Half a step of the largest weight of any block bounds every format's rounding.
      const float largest = *std::ranges::max_element(network.floats[i], {},
                                                      [](float value) { return std::fabs(value); });
      const float bound = std::fabs(largest) * (table == Encoding::q8_0 ? 0.006F : 0x1p-8F);
      for (std::size_t k = 0; k < network.floats[i].size(); ++k) {
        ASSERT_NEAR(converted.floats[i][k], network.floats[i][k], bound);
      }
    }
    // The network's bf16 weights: f16 holds them too, but for the very small ones.
    if (table != Encoding::f16) {
      EXPECT_EQ(converted.floats == network.floats, table != Encoding::q8_0);
    }
    const Weights weights = Checkpoint::open(gguf).load_weights(cpu());
    EXPECT_EQ(weights.embedding.dtype(), table == Encoding::f32    ? DType::f32
                                         : table == Encoding::bf16 ? DType::bf16
                                                                   : DType::f16);
    const std::vector<float> loaded = bitnet::testing::floats_of(weights.embedding);
    for (std::size_t k = 0; k < loaded.size(); ++k) {
      ASSERT_NEAR(loaded[k], converted.floats.front()[k],
                  std::fabs(converted.floats.front()[k]) * 0x1p-11F + 0x1p-25F);
    }
  }
}

TEST(Convert, CarriesTheTokenizerBothWays) {
  const TemporaryFolder folder;
  const auto source = golden("models/bitnet-tied/autobitlinear");
  // The golden models' rows fit no GGUF format, so a model that fits borrows their tokenizer.
  const auto model = random_model(folder, "hidden=256,ffn=256,layers=1,heads=2,vocab=262");
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    std::filesystem::copy_file(source / name, model / name);
  }
  nlohmann::json config = nlohmann::json::parse(testing::read_text(model / "config.json"));
  config["bos_token_id"] = 256;
  config["eos_token_id"] = {257, 258};
  testing::write_text(model / "config.json", config.dump());
  const auto gguf = folder.path() / "x.gguf";
  EXPECT_THAT(convert_to(model, gguf, "i2_s"), IsEmpty());
  const GgufFile file = read_gguf(utils::MappedFile::open(gguf));
  EXPECT_EQ(file.text("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(file.text("tokenizer.ggml.pre"), "llama-bpe");
  EXPECT_EQ(file.integer("tokenizer.ggml.bos_token_id"), 256);
  EXPECT_EQ(file.integer("tokenizer.ggml.eos_token_id"), 257);
  EXPECT_EQ(file.integer("tokenizer.ggml.eot_token_id"), 258);
  EXPECT_EQ(file.boolean("tokenizer.ggml.add_bos_token"), true);
  EXPECT_THAT(file.text("tokenizer.chat_template").value_or(""), HasSubstr("Assistant"));
  const GgufArray& tokens = *file.array("tokenizer.ggml.tokens");
  const GgufArray& types = *file.array("tokenizer.ggml.token_type");
  ASSERT_EQ(tokens.strings.size(), 262U);
  EXPECT_EQ(tokens.strings[258], "<|eot_id|>");
  EXPECT_EQ(tokens.strings[259], "[PAD259]");
  EXPECT_EQ(types.number(0), 1.0);
  EXPECT_EQ(types.number(258), 3.0);
  EXPECT_EQ(types.number(259), 5.0);
  const auto back = folder.path() / "back";
  convert_to(gguf, back, "hf");
  EXPECT_EQ(testing::read_text(back / "tokenizer.json"),
            testing::read_text(source / "tokenizer.json"));
  const auto again = folder.path() / "again.gguf";
  convert_to(gguf, again, "tq1_0");
  EXPECT_EQ(read_gguf(utils::MappedFile::open(again)).text("tokenizer.huggingface.json"),
            testing::read_text(source / "tokenizer.json"));
}

TEST(Convert, RefusesWhatTheTargetCannotHold) {
  const TemporaryFolder folder;
  const auto source = golden("models/bitnet-tied/autobitlinear");  // 48 and 100 columns
  for (const char* target : {"tq1_0", "tq2_0"}) {
    const std::string text = error_of(
        ErrorCode::unsupported, [&] { convert_to(source, folder.path() / "x.gguf", target); });
    EXPECT_THAT(text, HasSubstr("blk.0.attn_q.weight"));
    EXPECT_THAT(text, HasSubstr("multiple of 256"));
  }
  // 60 columns and 16 rows: 960 weights are no multiple of 128.
  EXPECT_THAT(error_of(ErrorCode::unsupported,
                       [&] {
                         convert_to(golden("models/llama-untied/bitlinear"),
                                    folder.path() / "x.gguf", "i2_s");
                       }),
              HasSubstr("multiple of 128"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Convert, LeavesNothingBehindWhenItFails) {
  const TemporaryFolder folder;
  const auto source = random_model(folder, "hidden=256,ffn=256,layers=1,heads=2,vocab=8");
  testing::Bytes bytes = testing::read_bytes(source / "model.safetensors");
  bytes[bytes.size() / 2] = std::byte{0xFF};
  testing::write_bytes(source / "model.safetensors", bytes);
  for (const char* target : {"hf", "mapped", "i2_s"}) {
    EXPECT_NE(error_of(ErrorCode::bad_file,
                       [&] { convert_to(source, folder.path() / "out.gguf", target); }),
              "");
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  EXPECT_NE(error_of(ErrorCode::io, [&] { convert_to(source, folder.path(), "hf"); }), "");
  EXPECT_NE(error_of(ErrorCode::invalid_argument, [] { (void)parse_convert_target("zip"); }), "");
}

// Files for readers that are not ours: gguf_check.py asks for them.
TEST(Convert, WritesFilesForOtherReaders) {
  const char* output = std::getenv("BITNET_CHECK_OUTPUT");
  if (output == nullptr) GTEST_SKIP() << "BITNET_CHECK_OUTPUT is not set";
  const std::filesystem::path folder = output;
  write_random_model(parse_shape("hidden=256,ffn=512,layers=2,heads=4,kv_heads=2,vocab=64"), 1,
                     folder / "bitnet");
  write_random_model(
      parse_shape("hidden=256,ffn=512,layers=2,heads=4,kv_heads=2,vocab=64,sub_norms=0"), 2,
      folder / "llama");
  for (const char* name : {"bitnet", "llama"}) {
    for (const char* target : {"tq1_0", "tq2_0"}) {
      convert_to(folder / name, folder / (std::string(name) + "." + target + ".gguf"), target);
    }
    convert_to(folder / name, folder / (std::string(name) + ".mapped"), "mapped");
  }
}

}  // namespace
}  // namespace bitnet::model
