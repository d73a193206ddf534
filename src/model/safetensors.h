// SPDX-License-Identifier: MIT
// Reading safetensors files (https://github.com/huggingface/safetensors): eight bytes of header
// length, a JSON header, then the tensors' bytes.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "model/stored_tensor.h"

namespace bitnet::model {

struct SafetensorsFile {
  std::vector<StoredTensor> tensors;  // in order of their bytes
  std::map<std::string, std::string> metadata;
};

// Throws `bad_file` with the offset or the tensor's name unless the header is well formed and the
// tensors cover the rest of the file exactly, without gap or overlap, as the format demands.
[[nodiscard]] SafetensorsFile read_safetensors(
    const std::shared_ptr<const utils::MappedFile>& file);
// The same from memory; `path` is for messages.
[[nodiscard]] SafetensorsFile parse_safetensors(std::span<std::byte> bytes,
                                                const std::string& path);
// All shards that `index` (model.safetensors.index.json) names; checks that each tensor lies in
// the shard the index says. Metadata of the shards are merged.
[[nodiscard]] SafetensorsFile read_sharded_safetensors(const std::filesystem::path& index);

}  // namespace bitnet::model
