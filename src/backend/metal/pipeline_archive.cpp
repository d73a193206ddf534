// SPDX-License-Identifier: MIT
#include "backend/metal/pipeline_archive.h"

#include <cctype>
#include <system_error>
#include <unistd.h>

#include "backend/metal/platform.h"

namespace bitnet::backend::metal {
namespace {

constexpr std::size_t kHashCharacters = 16;  // of 64: enough to tell sources apart

std::string as_file_name(std::string text) {
  for (char& c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return text;
}

NS::URL* url_of(const std::filesystem::path& file) {
  return NS::URL::fileURLWithPath(ns_string(file.string()));
}

}  // namespace

PipelineArchive::PipelineArchive(MTL::Device& device, const std::string& library,
                                 const std::string& hash)
    : device_(device) {
  const std::filesystem::path folder = cache_folder();
  if (folder.empty()) return;
  const AutoreleasePool pool;
  const std::string system =
      text_of(NS::ProcessInfo::processInfo()->operatingSystemVersionString());
  file_ = folder / (library + '-' + hash.substr(0, kHashCharacters) + '-' +
                    as_file_name(text_of(device.name()) + '-' + system) + ".archive");
  open();
}

void PipelineArchive::open() {
  const auto descriptor = NS::TransferPtr(MTL::BinaryArchiveDescriptor::alloc()->init());
  NS::Error* error = nullptr;
  std::error_code ignored;
  if (std::filesystem::exists(file_, ignored)) {
    descriptor->setUrl(url_of(file_));
    archive_ = NS::TransferPtr(device_.newBinaryArchive(descriptor.get(), &error));
    if (archive_) return;
    descriptor->setUrl(nullptr);
  }
  archive_ = NS::TransferPtr(device_.newBinaryArchive(descriptor.get(), &error));
}

NS::SharedPtr<MTL::ComputePipelineState> PipelineArchive::pipeline(
    MTL::ComputePipelineDescriptor& descriptor, NS::Error** error) {
  if (!archive_) {
    return NS::TransferPtr(
        device_.newComputePipelineState(&descriptor, MTL::PipelineOptionNone, nullptr, error));
  }
  descriptor.setBinaryArchives(NS::Array::array(archive_.get()));
  auto found = NS::TransferPtr(device_.newComputePipelineState(
      &descriptor, MTL::PipelineOptionFailOnBinaryArchiveMiss, nullptr, error));
  if (found) return found;
  auto made = NS::TransferPtr(
      device_.newComputePipelineState(&descriptor, MTL::PipelineOptionNone, nullptr, error));
  NS::Error* reason = nullptr;
  if (made && archive_->addComputePipelineFunctions(&descriptor, &reason)) is_changed_ = true;
  return made;
}

PipelineArchive::~PipelineArchive() {
  if (!is_changed_) return;
  const AutoreleasePool pool;
  save();
}

// Under another name first: other processes may be reading or writing the same file.
void PipelineArchive::save() const {
  std::error_code error;
  std::filesystem::create_directories(file_.parent_path(), error);
  std::filesystem::path temporary = file_;
  temporary += "." + std::to_string(::getpid());
  NS::Error* reason = nullptr;
  if (archive_->serializeToURL(url_of(temporary), &reason)) {
    std::filesystem::rename(temporary, file_, error);
  }
  if (error) std::filesystem::remove(temporary, error);
}

}  // namespace bitnet::backend::metal
