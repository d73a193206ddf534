// SPDX-License-Identifier: MIT
// The check of a dispatch against a kernel's argument table, with a table of its own.
#include "backend/shader_arguments.h"

#include <array>
#include <gmock/gmock.h>
#include <vector>

#include "support/errors.h"

namespace bitnet::backend {
namespace {

using shaders::Argument;
using shaders::ArgumentKind;
using shaders::ConstantType;
using testing::error_of;
using ::testing::HasSubstr;
using testing::is_error;

constexpr Argument kArguments[] = {
    {"x", 0, ArgumentKind::buffer, true, 2, 2, -1},
    {"output", 1, ArgumentKind::buffer, false, 4, 4, -1},
    {"bias", 2, ArgumentKind::buffer, true, 4, 4, 3},  // where function constant 3 says so
    {"scratch", 1, ArgumentKind::threadgroup, false, 4, 4, -1},
    {"p", 3, ArgumentKind::constant_bytes, true, 12, 4, -1},
};
constexpr shaders::FunctionConstant kConstants[] = {{"has_bias", 3, ConstantType::boolean},
                                                    {"tile", 5, ConstantType::uint32}};
constexpr ShaderSignature kKernel{
    .name = "example", .max_threads_per_threadgroup = 256, .arguments = kArguments};

class Memory final : public Buffer {
 public:
  [[nodiscard]] std::size_t size() const noexcept override { return 64; }
  [[nodiscard]] std::byte* host() const noexcept override { return nullptr; }
};
// Where the made-up device sees every buffer.
constexpr std::uintptr_t kAddress = 0x1000;
std::uintptr_t address_of(const Buffer&) { return kAddress; }

struct Example {
  std::shared_ptr<Buffer> memory = std::make_shared<Memory>();
  std::vector<Binding> buffers = {{memory, 0, 16, Access::read},
                                  {memory, 16, 16, Access::write},
                                  {memory, 32, 16, Access::read}};
  std::vector<std::byte> parameters = std::vector<std::byte>(12);
  std::vector<std::uint32_t> threadgroup_bytes = {0, 128};
  Extent threadgroups = {.x = 3, .y = 2, .z = 1};
  Extent threads = {.x = 8, .y = 4, .z = 2};
  Extent grid = {.x = 0, .y = 0, .z = 0};
  std::vector<Constant> constants = {{3, Constant::Type::boolean, 1}};

  void check() const {
    check_dispatch(kKernel, FunctionConstants("example", kConstants, constants),
                   {.pipeline = nullptr,
                    .buffers = buffers,
                    .parameters = parameters,
                    .threadgroups = threadgroups,
                    .threads_per_threadgroup = threads,
                    .work = {},
                    .grid_threads = grid,
                    .threadgroup_bytes = threadgroup_bytes},
                   address_of);
  }
  void refused(const std::string& part) const {
    EXPECT_THAT(error_of([&] { check(); }), is_error(ErrorCode::invalid_argument, HasSubstr(part)));
  }
};

TEST(ShaderArguments, AGoodDispatchPasses) {
  Example example;
  example.check();
  example.grid = {.x = 17, .y = 5, .z = 1};  // the last threadgroup of each axis is smaller
  example.check();
}

TEST(ShaderArguments, BuffersMustBeThereAlignedAndWritable) {
  Example example;
  example.buffers[0].offset = 1;
  example.refused("[example] buffer(0) 'x' is bound at offset 1, which is not aligned to 2");
  example = {};
  example.buffers[1].access = Access::read;
  example.refused("buffer(1) 'output' is written by the kernel and bound for reading");
  example = {};
  example.buffers[1].buffer = nullptr;
  example.refused("buffer(1) 'output' is missing");
  example = {};
  example.parameters.push_back({});
  example.refused("buffer(3) 'p' takes 12 bytes of parameters, not 13");
  example = {};
  example.parameters.clear();
  example.refused("buffer(3) 'p' is missing");
  example.buffers.push_back({example.memory, 0, 8, Access::read});
  example.refused("buffer(3) 'p' needs 12 bytes, not 8");
  example = {};
  example.threadgroup_bytes = {128};
  example.refused("threadgroup(1) 'scratch' has no length");
}

TEST(ShaderArguments, AConstantSaysWhetherAnArgumentIsThere) {
  Example example;
  example.buffers[2] = {};
  example.refused("buffer(2) 'bias' is missing");
  example.constants[0].bits = 0;
  example.check();
  example.constants.clear();
  example.check();
}

TEST(ShaderArguments, ThreadgroupsMustBeAllowedAndCoverTheGrid) {
  Example example;
  example.threads = {.x = 257, .y = 1, .z = 1};
  example.refused("257 x 1 x 1 threads; 1 to 256 are allowed");
  example.threads = {.x = 32, .y = 32, .z = 1};
  example.refused("32 x 32 x 1 threads");
  example.threads = {.x = 0, .y = 1, .z = 1};
  example.refused("0 x 1 x 1 threads");
  for (const Extent grid : {Extent{.x = 25, .y = 8, .z = 2}, Extent{.x = 16, .y = 8, .z = 2},
                            Extent{.x = 24, .y = 0, .z = 2}}) {
    example = {};
    example.grid = grid;
    example.refused("do not cover a grid");
  }
}

TEST(ShaderArguments, ConstantsMustBeDeclaredWithTheirType) {
  Example example;
  example.constants = {{4, Constant::Type::boolean, 1}};
  example.refused("example: no function constant has index 4");
  example.constants = {{5, Constant::Type::float32, 1}};
  example.refused("example: function constant tile is a uint, not a float");
  const FunctionConstants none("example", kConstants, {});
  const std::array one = {Constant{5, Constant::Type::uint32, 0}};
  EXPECT_NE(none, FunctionConstants("example", kConstants, one)) << "zero is not the same as unset";
  EXPECT_EQ(none, FunctionConstants("example", kConstants, {}));
}

TEST(ShaderArguments, AWholeGridCountsItsThreadgroups) {
  const Extent whole = grid_of({0, 0, 0}, {3, 2, 1}, {8, 4, 2});
  EXPECT_EQ(whole.x, 24U);
  EXPECT_EQ(whole.y, 8U);
  EXPECT_EQ(whole.z, 2U);
  EXPECT_EQ(grid_of({17, 5, 1}, {3, 2, 1}, {8, 4, 2}).x, 17U);
}

}  // namespace
}  // namespace bitnet::backend
