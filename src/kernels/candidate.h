// SPDX-License-Identifier: MIT
// How a family chooses among its kernels: an ordered list, fastest first, the plain one last.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bitnet/command.h"

#include "backend/backend.h"
#include "utils/checks.h"

namespace bitnet::kernels {

struct Launch {
  backend::Extent threadgroups;
  backend::Extent threads_per_threadgroup;
  // As backend::Dispatch has them.
  backend::Extent grid_threads = {0, 0, 0};
  std::vector<std::uint32_t> threadgroup_bytes{};
};

template <typename Problem>
struct Candidate {
  std::string_view name;  // shown by BITNET_VERBOSE=dispatch
  // "": this candidate takes the problem; otherwise why it declines.
  std::string_view (*declines)(const Problem& problem, const Capabilities& capabilities);
  std::string (*kernel)(const Problem& problem);  // the device's name for the function
  Launch (*launch)(const Problem& problem, const Capabilities& capabilities);
  // The function constants of the kernel; null: it has none.
  std::vector<backend::Constant> (*constants)(const Problem& problem,
                                              const Capabilities& capabilities) = nullptr;
};

// Why a Metal kernel leaves a problem to native ones: "", or what the device lacks. All of them are
// written for SIMD-groups of 32.
[[nodiscard]] std::string_view needs_simdgroups(const Capabilities& capabilities) noexcept;

// An operation whose CPU kernel, "cpu_<operation>", splits into independent work items (rows,
// tokens, heads) and takes every problem: the plainest candidate of most families.
struct CpuItems {
  std::string_view operation;
  std::uint32_t count = 0;
};
inline constexpr Candidate<CpuItems> kCpuItems[] = {
    {.name = "cpu",
     .declines = [](const CpuItems&, const Capabilities&) -> std::string_view { return ""; },
     .kernel = [](const CpuItems& items) { return "cpu_" + std::string(items.operation); },
     .launch = [](const CpuItems& items, const Capabilities&) -> Launch {
       return {.threadgroups = {.x = items.count}, .threads_per_threadgroup = {}};
     }},
};

struct Choice {
  std::shared_ptr<const backend::Pipeline> pipeline;
  Launch launch;
};

[[nodiscard]] bool verbose_dispatch() noexcept;
void report_choice(std::string_view operation, std::string_view candidate,
                   std::string_view reason_against);  // "": chosen

// The first candidate the device has and that accepts the problem, if any. A candidate whose kernel
// the device lacks is passed over silently: it belongs to another backend.
template <typename Problem>
[[nodiscard]] std::optional<Choice> find_choice(const Device& device, std::string_view operation,
                                                std::span<const Candidate<Problem>> candidates,
                                                const Problem& problem) {
  const Capabilities& capabilities = device.capabilities();
  for (const Candidate<Problem>& candidate : candidates) {
    const std::string_view reason = candidate.declines(problem, capabilities);
    if (!reason.empty()) {
      if (verbose_dispatch()) report_choice(operation, candidate.name, reason);
      continue;
    }
    const std::vector<backend::Constant> constants =
        candidate.constants == nullptr ? std::vector<backend::Constant>()
                                       : candidate.constants(problem, capabilities);
    const auto pipeline = device.impl()->pipeline(candidate.kernel(problem), constants);
    if (pipeline == nullptr) continue;
    if (verbose_dispatch()) report_choice(operation, candidate.name, "");
    return Choice{pipeline, candidate.launch(problem, capabilities)};
  }
  return std::nullopt;
}

// The same; throws `unsupported` when there is none.
template <typename Problem>
[[nodiscard]] Choice choose(const Device& device, std::string_view operation,
                            std::span<const Candidate<Problem>> candidates,
                            const Problem& problem) {
  if (auto choice = find_choice(device, operation, candidates, problem)) return *choice;
  utils::fail(ErrorCode::unsupported, operation, "device ", name(device.backend()),
              " has no kernel for this problem");
}

// A binding of the whole tensor; an empty handle binds nothing.
[[nodiscard]] backend::Binding bind(const Tensor& tensor, backend::Access access);
[[nodiscard]] inline backend::Binding reads(const Tensor& tensor) {
  return bind(tensor, backend::Access::read);
}
[[nodiscard]] inline backend::Binding writes(const Tensor& tensor) {
  return bind(tensor, backend::Access::write);
}
[[nodiscard]] inline backend::Binding updates(const Tensor& tensor) {
  return bind(tensor, backend::Access::read_write);
}

// Where the kernels of this command buffer report bad input: a buffer for `device atomic_uint*`.
[[nodiscard]] backend::Binding faults(ComputeEncoder& encoder);

template <typename Parameters>
void dispatch(ComputeEncoder& encoder, const Choice& choice,
              std::initializer_list<backend::Binding> bindings, const Parameters& parameters,
              backend::Work work) {
  static_assert(std::is_trivially_copyable_v<Parameters> && sizeof(Parameters) <= 256);
  encoder.commands().dispatch({.pipeline = choice.pipeline,
                               .buffers = {bindings.begin(), bindings.size()},
                               .parameters = std::as_bytes(std::span(&parameters, 1)),
                               .threadgroups = choice.launch.threadgroups,
                               .threads_per_threadgroup = choice.launch.threads_per_threadgroup,
                               .work = work,
                               .grid_threads = choice.launch.grid_threads,
                               .threadgroup_bytes = choice.launch.threadgroup_bytes});
}

// Argument checks shared by the families; `function` is the public name, e.g. "encode_rope".
[[nodiscard]] bool is_float(DType dtype) noexcept;
void require_on_device(const ComputeEncoder& encoder, std::string_view function,
                       std::initializer_list<const Tensor*> tensors);
void require_contiguous(std::string_view function, std::string_view argument, const Tensor& tensor);
void require_float(std::string_view function, std::string_view argument, const Tensor& tensor);
void require_dtype(std::string_view function, std::string_view argument, const Tensor& tensor,
                   DType dtype);
void require_shape(std::string_view function, std::string_view argument, const Tensor& tensor,
                   const Shape& shape);
// The outputs of an operation that is not in place share no byte with its inputs.
void require_disjoint(std::string_view function, const Tensor& output, const Tensor& input);
// In place: the output is the contiguous input itself, or shares no byte with it.
void require_same_or_disjoint(std::string_view function, const Tensor& output, const Tensor& input);
// Extents and strides as the parameter structs hold them; throws from 2^32 on.
[[nodiscard]] std::uint32_t as_uint(std::string_view function, std::string_view quantity,
                                    std::int64_t value);

}  // namespace bitnet::kernels
