// SPDX-License-Identifier: MIT
// Carrying a tokenizer from one checkpoint format to another.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "bitnet/model.h"

#include "model/gguf.h"
#include "model/gguf_writer.h"
#include "model/output_folder.h"

namespace bitnet::model {

// The tokenizer files and licences of a Hugging Face folder, unchanged.
void copy_tokenizer_files(const std::filesystem::path& from, const OutputFolder& to);

// All "tokenizer.*" keys, unchanged.
void copy_gguf_tokenizer(const GgufFile& from, GgufMetadata& to);

// tokenizer.json (byte-level BPE) as the tokenizer.ggml.* keys of GGUF, padded to the vocabulary
// of the network, and whole under tokenizer.huggingface.json, from which write_hf_tokenizer
// restores it. Where there is no such tokenizer nothing is added, and `notes` says why.
void write_gguf_tokenizer(const std::filesystem::path& folder, const ModelConfig& config,
                          GgufMetadata& metadata, std::vector<std::string>& notes);

// tokenizer.json and tokenizer_config.json from GGUF metadata: the original text where the file
// carries it, else rebuilt from tokens, types and merges.
void write_hf_tokenizer(const GgufFile& from, const OutputFolder& to,
                        std::vector<std::string>& notes);

}  // namespace bitnet::model
