// SPDX-License-Identifier: MIT
#include "support/only_kernels.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "backend/backend.h"

namespace bitnet::testing {
namespace {

class FilteredDevice final : public backend::Device {
 public:
  FilteredDevice(std::shared_ptr<backend::Device> inner, std::vector<std::string> allowed,
                 std::string prefix)
      : inner_(std::move(inner)), allowed_(std::move(allowed)), prefix_(std::move(prefix)) {}

  [[nodiscard]] Backend backend() const noexcept override { return inner_->backend(); }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override {
    return inner_->capabilities();
  }
  [[nodiscard]] std::shared_ptr<backend::Buffer> allocate(std::size_t bytes,
                                                          Storage storage) override {
    return inner_->allocate(bytes, storage);
  }
  [[nodiscard]] std::shared_ptr<backend::Buffer> wrap(std::span<std::byte> host,
                                                      std::shared_ptr<const void> owner) override {
    return inner_->wrap(host, std::move(owner));
  }
  [[nodiscard]] std::shared_ptr<const backend::Pipeline> pipeline(
      std::string_view name, std::span<const backend::Constant> constants) override {
    if (name.starts_with(prefix_) && std::ranges::find(allowed_, name) == allowed_.end()) {
      return nullptr;
    }
    return inner_->pipeline(name, constants);
  }
  [[nodiscard]] std::shared_ptr<backend::Commands> new_commands() override {
    return inner_->new_commands();
  }

 private:
  std::shared_ptr<backend::Device> inner_;
  std::vector<std::string> allowed_;
  std::string prefix_;
};

}  // namespace

Device only(const Device& device, std::vector<std::string> allowed, std::string prefix) {
  return Device(
      std::make_shared<FilteredDevice>(device.impl(), std::move(allowed), std::move(prefix)));
}

}  // namespace bitnet::testing
