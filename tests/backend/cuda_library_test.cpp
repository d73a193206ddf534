// SPDX-License-Identifier: MIT
// The CUDA device's tables, which mslc computes, against those the CPU's compiler makes of the same
// kernels.
#include <algorithm>
#include <gmock/gmock.h>
#include <map>
#include <span>
#include <string>

#include "backend/cpu/shader_pipeline.h"
#include "backend/cuda/library.h"

namespace bitnet::backend::cuda {
namespace {

using shaders::Argument;

std::string text(std::span<const Argument> arguments) {
  std::string result;
  for (const Argument& argument : arguments) {
    result += std::string(argument.name) + " at " + std::to_string(argument.index) + ", kind " +
              std::to_string(static_cast<int>(argument.kind)) +
              (argument.is_read_only ? ", read" : ", written") + ", " +
              std::to_string(argument.size) + " bytes aligned to " +
              std::to_string(argument.alignment) + ", condition " +
              std::to_string(argument.condition) + "\n";
  }
  return result;
}

template <typename Library>
std::string constants_of(const Library& library, std::size_t count) {
  std::string result;
  for (std::size_t i = 0; i < count; ++i) {
    const shaders::FunctionConstant& constant = library.constants[i];
    result += std::string(constant.name) + " " + std::to_string(constant.index) + " " +
              std::to_string(static_cast<int>(constant.type)) + "\n";
  }
  return result;
}

TEST(CudaLibrary, TablesAreThoseOfTheCpu) {
  std::map<std::string, const Library*> ours;
  for (const Library& library : libraries()) ours[library.source] = &library;
  std::size_t kernels = 0;
  for (const shaders::cpu::Library* theirs : cpu::shader_libraries()) {
    if (theirs->kernel_count == 0) continue;
    SCOPED_TRACE(theirs->source);
    ASSERT_TRUE(ours.contains(theirs->source));
    const Library& library = *ours[theirs->source];
    EXPECT_EQ(constants_of(library, library.constants.size()),
              constants_of(*theirs, theirs->constant_count));
    ASSERT_EQ(library.kernels.size(), theirs->kernel_count);
    for (std::size_t i = 0; i < theirs->kernel_count; ++i, ++kernels) {
      const Kernel& kernel = library.kernels[i];
      const shaders::cpu::Kernel& same = theirs->kernels[i];
      EXPECT_STREQ(kernel.name, same.name);
      EXPECT_EQ(kernel.max_threads, same.max_threads);
      EXPECT_EQ(text(kernel.arguments), text({same.arguments, same.argument_count})) << same.name;
    }
    ours.erase(theirs->source);
  }
  EXPECT_TRUE(ours.empty());
  EXPECT_GT(kernels, 0U);
}

// The magic number of NVIDIA's fat binaries, in the file's own byte order.
TEST(CudaLibrary, ImagesAreFatBinaries) {
  for (const Library& library : libraries()) {
    const std::span image(library.image, 4);
    EXPECT_THAT(image, ::testing::ElementsAre(0x50, 0xED, 0x55, 0xBA)) << library.source;
  }
}

}  // namespace
}  // namespace bitnet::backend::cuda
