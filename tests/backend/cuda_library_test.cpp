// SPDX-License-Identifier: MIT
// The images that the CUDA device carries.
#include <gmock/gmock.h>
#include <set>
#include <span>
#include <string>

#include "backend/cpu/shader_pipeline.h"
#include "backend/cuda/library.h"

namespace bitnet::backend::cuda {
namespace {

TEST(CudaLibrary, HasEveryShaderFile) {
  std::set<std::string> ours;
  std::set<std::string> theirs;
  for (const Library& library : libraries()) ours.insert(library.table->source);
  for (const auto* library : cpu::shader_libraries()) theirs.insert(library->source);
  EXPECT_EQ(ours, theirs);
  EXPECT_FALSE(ours.empty());
}

// NVIDIA's magic number of a fat binary.
TEST(CudaLibrary, ImagesAreFatBinaries) {
  for (const Library& library : libraries()) {
    EXPECT_THAT(std::span(library.image, 4), ::testing::ElementsAre(0x50, 0xED, 0x55, 0xBA))
        << library.table->source;
  }
}

}  // namespace
}  // namespace bitnet::backend::cuda
