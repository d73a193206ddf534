// SPDX-License-Identifier: MIT
// Writing safetensors files as a stream.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "model/stored_tensor.h"
#include "utils/output_file.h"

namespace bitnet::model {

struct TensorSpec {
  std::string name;
  Encoding encoding = Encoding::other;
  Shape shape;
};

// Equal arguments give equal bytes. The file appears under its name in finish(), or not at all. One
// thread.
class SafetensorsWriter {
 public:
  // With `alignment` > 1 every tensor's bytes start at a multiple of it in the file; since the
  // format allows no gaps, the padding is declared as u8 tensors "__padding__.N".
  SafetensorsWriter(std::filesystem::path path, std::vector<TensorSpec> tensors,
                    const std::map<std::string, std::string>& metadata = {},
                    std::size_t alignment = 1);

  // The bytes of the tensors in the order declared, in pieces of any size.
  void write(std::span<const std::byte> bytes);
  // Throws `invalid_argument` when fewer bytes than declared were written.
  void finish();
  [[nodiscard]] std::uint64_t total_bytes() const noexcept { return total_; }

 private:
  struct Piece {
    std::string name;
    std::uint64_t bytes = 0;
    bool padding = false;
  };
  void skip_complete();

  utils::OutputFile file_;
  std::vector<Piece> pieces_;
  std::size_t current_ = 0;
  std::uint64_t written_ = 0;  // of the current piece
  std::uint64_t total_ = 0;    // of all tensors
};

}  // namespace bitnet::model
