// SPDX-License-Identifier: MIT
// shaders/ternary_gemv.metal, every instantiation by its name, against plain loops.
#include "kernels/ternary_gemv.h"

#include <gtest/gtest.h>
#include <string>

#include "kernels/ternary_support.h"
#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"
#include "shaders/typed_values.h"
#include "support/random.h"
#include "tensor/layout.h"

extern "C" const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemv();

namespace bitnet {
namespace {

using kernels::divided_up;
using testing::poisoned;
using testing::Random;
using testing::reads;
using testing::Scaling;
using testing::writes;

struct Size {
  std::uint32_t rows, cols, tokens;
};
constexpr Scaling kPerTensor{ScaleGranularity::tensor, 0};
constexpr Scaling kPerRow{ScaleGranularity::row, 0};
Scaling per_group(std::uint32_t cols) { return {ScaleGranularity::group, cols}; }

// A product with everything the kernels are given, and what they must give.
struct Problem {
  Problem(Random& random, Packing weight_packing, Size shape, Scaling scaling, DType output)
      : packing(weight_packing),
        size(shape),
        groups(static_cast<std::uint32_t>(testing::groups_of(scaling, shape.cols))),
        dtype(output),
        trits(random.trits(std::size_t{shape.rows} * shape.cols)),
        codes(random.codes(std::size_t{shape.tokens} * shape.cols)),
        activation_scales(random.normal(shape.tokens)),
        weights(packed_size(weight_packing, shape.rows, shape.cols)) {
    const bool grouped = scaling.granularity == ScaleGranularity::group;
    group_cols = grouped ? static_cast<std::uint32_t>(scaling.group) : shape.cols;
    scale_stride = scaling.granularity == ScaleGranularity::tensor ? 0 : groups;
    scales = random.normal(scale_stride == 0 ? 1 : std::size_t{shape.rows} * groups, 0.01F);
    layout::pack(packing, trits, shape.rows, shape.cols, weights);
  }
  [[nodiscard]] shaders::TernaryMatmulParams params() const {
    return {.layout = {.rows = size.rows,
                       .cols = size.cols,
                       .packing = static_cast<std::uint32_t>(packing),
                       .group_cols = group_cols,
                       .scale_stride = scale_stride},
            .tokens = size.tokens,
            .groups = groups,
            .dtype = static_cast<std::uint32_t>(dtype)};
  }
  // The bytes of the output, tokens by rows.
  [[nodiscard]] std::vector<std::byte> expected() const {
    std::vector<double> values;
    for (std::size_t token = 0; token < size.tokens; ++token) {
      for (std::size_t row = 0; row < size.rows; ++row) values.push_back(value(token, row));
    }
    return testing::bytes_of(values, dtype);
  }
  [[nodiscard]] double value(std::size_t token, std::size_t row) const {
    float total = 0;
    std::int64_t whole = 0;
    for (std::size_t group = 0; group < groups; ++group) {
      std::int64_t sum = 0;
      const std::size_t end = std::min<std::size_t>((group + 1) * group_cols, size.cols);
      for (std::size_t col = group * group_cols; col < end; ++col) {
        sum += trits[row * size.cols + col] * codes[token * size.cols + col];
      }
      whole += sum;
      const float product =
          static_cast<float>(sum) * (scales[row * scale_stride + group] * activation_scales[token]);
      total = groups == 1 ? product : total + product;
    }
    return dtype == DType::i32 ? static_cast<double>(whole) : static_cast<double>(total);
  }

  Packing packing;
  Size size;
  std::uint32_t groups;
  std::uint32_t group_cols = 0;
  std::uint32_t scale_stride = 0;
  DType dtype;
  std::vector<std::int8_t> trits;
  std::vector<std::int8_t> codes;
  std::vector<float> activation_scales;
  std::vector<float> scales;
  std::vector<std::byte> weights;
};

// As arrange_codes gives them.
std::vector<std::int8_t> arranged(const Problem& problem) {
  const auto [planes, block] = kernels::code_planes(problem.packing);
  const std::size_t plane = kernels::plane_cols(problem.packing, problem.size.cols);
  std::vector<std::int8_t> result(problem.size.tokens * planes * plane, 0);
  for (std::size_t i = 0; i < problem.codes.size(); ++i) {
    const std::size_t token = i / problem.size.cols;
    const std::size_t col = i % problem.size.cols;
    result[(token * planes + col % planes) * plane + col / planes] = problem.codes[i];
  }
  return result;
}

constexpr std::array kOutputs = {DType::i32, DType::f32, DType::f16, DType::bf16};

class TernaryGemvShaderTest : public testing::ShaderFixture {
 protected:
  TernaryGemvShaderTest() : ShaderFixture(bitnet_shader_library_ternary_gemv()) {}

  void expect_product(const std::string& kernel, Problem problem, std::vector<std::int8_t> codes,
                      const kernels::Launch& launch) {
    SCOPED_TRACE(::testing::Message()
                 << kernel << ": " << problem.size.rows << " x " << problem.size.cols << ", "
                 << problem.size.tokens << " tokens, groups of " << problem.group_cols << ", "
                 << name(problem.dtype));
    const auto expected = problem.expected();
    auto output = poisoned<std::byte>(expected.size());
    run(kernel,
        {reads(problem.weights), reads(problem.scales), reads(codes),
         reads(problem.activation_scales), writes(output)},
        problem.params(), launch.threadgroups, launch.threads_per_threadgroup);
    EXPECT_EQ(testing::values_of(output, problem.dtype),
              testing::values_of(expected, problem.dtype));
  }
};

struct Instance {
  Packing packing;
  std::uint32_t tokens;  // that it takes at once
  std::uint32_t rows;    // of a threadgroup
};
std::vector<Instance> instances() {
  std::vector<Instance> result;
  for (const Packing packing : testing::kPackings) {
    for (const std::uint32_t tokens : {1U, 2U, 4U, 8U}) {
      const bool narrow = kernels::gemv_rows(packing, 1, tokens) == 8;
      if (narrow) result.push_back({packing, tokens, 8});
      result.push_back({packing, tokens, 16});
    }
  }
  return result;
}

// Columns around a chunk, and enough for each kernel's widest step (at most 6144) and a rest.
TEST_F(TernaryGemvShaderTest, ScalesPerTensorAndRow) {
  Random random;
  SCOPED_TRACE(random.seed());
  for (const Instance& instance : instances()) {
    const std::string kernel = "multiply_ternary_" + std::string(name(instance.packing)) + "_t" +
                               std::to_string(instance.tokens) + "_r" +
                               std::to_string(instance.rows);
    const std::uint32_t tokens = instance.tokens;
    const std::uint32_t fewest = tokens / 2 + 1;  // with which the host chooses this kernel
    std::size_t round = 0;
    for (const Size size : {Size{1, 1, tokens}, Size{5, 63, fewest}, Size{17, 64, tokens},
                            Size{33, 387, 2 * tokens + 1}, Size{3, 6500, tokens}}) {
      const Scaling scaling = round % 2 == 0 ? kPerTensor : kPerRow;
      for (const DType dtype : {DType::i32, kOutputs[1 + round++ % 3]}) {
        Problem problem(random, instance.packing, size, scaling, dtype);
        kernels::Launch launch = kernels::gemv_launch(problem.params());
        launch.threadgroups = {.x = divided_up(size.rows, instance.rows),
                               .y = divided_up(size.tokens, tokens)};
        expect_product(kernel, problem, arranged(problem), launch);
      }
    }
  }
}

// 33 groups at once, in rounds of 32; the last group is cut short by the row.
TEST_F(TernaryGemvShaderTest, GroupScalesAreAddedInOrder) {
  Random random;
  SCOPED_TRACE(random.seed());
  for (const Packing packing : {Packing::two_bit, Packing::two_bit_tiled}) {
    const std::uint32_t block = kernels::code_planes(packing).block;
    for (const std::uint32_t tokens : {1U, 2U, 4U, 8U}) {
      std::size_t round = tokens;
      for (const std::uint32_t group : {block, 3 * block, 10 * block}) {
        const std::uint32_t cols = group == block ? 33 * block - 5 : 4 * group + 1;
        for (const std::uint32_t rows : {1U, 19U}) {
          const Size size{rows, cols, rows == 1 ? tokens : tokens / 2 + 1};
          Problem problem(random, packing, size, per_group(group), kOutputs[1 + round++ % 3]);
          expect_product(kernels::grouped_gemv_kernel(packing, tokens), problem, arranged(problem),
                         kernels::grouped_gemv_launch(problem.params()));
        }
      }
    }
  }
}

TEST_F(TernaryGemvShaderTest, AnyGroupsAndPacking) {
  Random random;
  SCOPED_TRACE(random.seed());
  std::size_t round = 0;
  for (const Packing packing : testing::kPackings) {
    for (const Scaling scaling :
         {kPerTensor, kPerRow, per_group(1), per_group(7), per_group(100)}) {
      for (const Size size : {Size{1, 1, 1}, Size{66, 33, 2}, Size{3, 391, 5}}) {
        const bool grouped = testing::groups_of(scaling, size.cols) > 1;
        const DType dtype = kOutputs[grouped ? 1 + round++ % 3 : round++ % 4];
        Problem problem(random, packing, size, scaling, dtype);
        // Fewer threadgroups than tokens: a threadgroup takes several.
        expect_product("multiply_ternary_any", problem, problem.codes,
                       {.threadgroups = {.x = size.rows, .y = std::min(size.tokens, 3U)},
                        .threads_per_threadgroup = {.x = 32}});
      }
    }
  }
}

TEST_F(TernaryGemvShaderTest, CodesInPlanes) {
  Random random;
  SCOPED_TRACE(random.seed());
  for (const Packing packing : testing::kPackings) {
    for (const Size size : {Size{1, 1, 1}, Size{1, 80, 3}, Size{1, 129, 7}, Size{1, 1921, 2}}) {
      Problem problem(random, packing, size, kPerTensor, DType::i32);
      const auto expected = arranged(problem);
      const shaders::ArrangeCodesParams params{size.cols, kernels::code_planes(packing).planes,
                                               kernels::plane_cols(packing, size.cols),
                                               size.tokens};
      auto planes = poisoned<std::int8_t>(expected.size());
      run("arrange_codes", {reads(problem.codes), writes(planes)}, params,
          {.x = divided_up(params.planes * params.plane_cols / 4, 96),
           .y = std::min(size.tokens, 2U)},
          {96});
      EXPECT_EQ(planes, expected) << name(packing) << ' ' << size.cols;
    }
  }
}

}  // namespace
}  // namespace bitnet
