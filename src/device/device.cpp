// SPDX-License-Identifier: MIT
#include "bitnet/device.h"

#include "backend/backend.h"
#include "device/registry.h"
#include "utils/checks.h"

namespace bitnet {

std::string_view name(Backend backend) noexcept {
  switch (backend) {
    case Backend::cpu:
      return "cpu";
    case Backend::metal:
      return "metal";
    case Backend::cuda:
      return "cuda";
  }
  return "?";
}

std::size_t Buffer::size() const noexcept { return impl_ == nullptr ? 0 : impl_->size(); }

std::span<std::byte> Buffer::host() const {
  utils::require(impl_ != nullptr, "Buffer::host", "the buffer handle is empty");
  utils::require(impl_->host() != nullptr, "Buffer::host", "the buffer of ", impl_->size(),
                 " bytes is device-only memory");
  return {impl_->host(), impl_->size()};
}

Device Device::best() { return *registry().front().device; }

std::optional<Device> Device::find(Backend backend, int index) {
  for (const DeviceReport& report : registry()) {
    if (report.device && report.device->backend() == backend && index-- == 0) return report.device;
  }
  return std::nullopt;
}

std::vector<Device> Device::all() {
  std::vector<Device> devices;
  for (const DeviceReport& report : registry()) {
    if (report.device) devices.push_back(*report.device);
  }
  return devices;
}

Device Device::named(std::string_view name, const DeviceOptions& options) {
  return open_device(name, options);
}

Backend Device::backend() const noexcept { return impl_->backend(); }

const Capabilities& Device::capabilities() const noexcept { return impl_->capabilities(); }

Buffer Device::allocate(std::size_t bytes, Storage storage) const {
  return Buffer(impl_->allocate(bytes, storage));
}

Buffer Device::wrap(std::span<std::byte> host, std::shared_ptr<const void> owner) const {
  return Buffer(impl_->wrap(host, std::move(owner)));
}

std::vector<DeviceReport> report_devices() { return registry(); }

}  // namespace bitnet
