// SPDX-License-Identifier: MIT
#include "support/discrete_device.h"

#include <memory>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace bitnet::testing {
namespace {

class DiscreteBuffer final : public backend::Buffer {
 public:
  DiscreteBuffer(std::shared_ptr<backend::Buffer> inner, bool is_visible, std::size_t& held)
      : inner_(std::move(inner)), is_visible_(is_visible), held_(held) {
    held_ += inner_->size();
  }
  ~DiscreteBuffer() override { held_ -= inner_->size(); }
  [[nodiscard]] std::size_t size() const noexcept override { return inner_->size(); }
  [[nodiscard]] std::byte* host() const noexcept override {
    return is_visible_ ? inner_->host() : nullptr;
  }
  [[nodiscard]] const std::shared_ptr<backend::Buffer>& inner() const noexcept { return inner_; }

 private:
  std::shared_ptr<backend::Buffer> inner_;
  bool is_visible_;
  std::size_t& held_;
};

backend::Binding inner(backend::Binding binding) {
  if (const auto* own = dynamic_cast<const DiscreteBuffer*>(binding.buffer.get())) {
    binding.buffer = own->inner();
  }
  return binding;
}

class DiscreteCommands final : public backend::Commands {
 public:
  explicit DiscreteCommands(std::shared_ptr<backend::Commands> commands)
      : inner_(std::move(commands)) {}
  void dispatch(const backend::Dispatch& dispatch) override {
    std::vector<backend::Binding> buffers;
    for (const backend::Binding& binding : dispatch.buffers) buffers.push_back(inner(binding));
    backend::Dispatch copy = dispatch;
    copy.buffers = buffers;
    inner_->dispatch(copy);
  }
  void copy(const backend::Binding& from, const backend::Binding& to) override {
    inner_->copy(inner(from), inner(to));
  }
  void fill(const backend::Binding& to, std::uint8_t value) override {
    inner_->fill(inner(to), value);
  }
  [[nodiscard]] backend::Binding faults() override { return inner_->faults(); }
  void commit() override { inner_->commit(); }
  void wait() override { inner_->wait(); }

 private:
  std::shared_ptr<backend::Commands> inner_;
};

class DiscreteDevice final : public backend::Device {
 public:
  explicit DiscreteDevice(DiscreteMemory& memory) : memory_(memory) {
    capabilities_.unified_memory = false;
  }
  [[nodiscard]] Backend backend() const noexcept override { return inner_->backend(); }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  [[nodiscard]] std::shared_ptr<backend::Buffer> allocate(std::size_t bytes,
                                                          Storage storage) override {
    const bool visible = storage == Storage::shared;
    return std::make_shared<DiscreteBuffer>(inner_->allocate(bytes, storage), visible,
                                            visible ? memory_.shared_bytes : memory_.device_bytes);
  }
  [[nodiscard]] std::shared_ptr<backend::Buffer> wrap(std::span<std::byte> host,
                                                      std::shared_ptr<const void> owner) override {
    return inner_->wrap(host, std::move(owner));
  }
  [[nodiscard]] std::shared_ptr<const backend::Pipeline> pipeline(
      std::string_view name, std::span<const backend::Constant> constants) override {
    return inner_->pipeline(name, constants);
  }
  [[nodiscard]] std::shared_ptr<backend::Commands> new_commands() override {
    return std::make_shared<DiscreteCommands>(inner_->new_commands());
  }

 private:
  std::shared_ptr<backend::Device> inner_ =
      bitnet::Device::named("cpu", {.threads = 2, .instruction_set = ""}).impl();
  Capabilities capabilities_ = inner_->capabilities();
  DiscreteMemory& memory_;
};

}  // namespace

Device discrete_device(DiscreteMemory& memory) {
  return Device(std::make_shared<DiscreteDevice>(memory));
}

}  // namespace bitnet::testing
