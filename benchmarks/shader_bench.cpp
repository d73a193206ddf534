// SPDX-License-Identifier: MIT
// Times the .metal kernels that multiply ternary weights, compiled to a cubin, on an NVIDIA GPU,
// beside the card's measured copy bandwidth. Each result is compared with a plain reference first.
//
//   shader_bench CUBIN [--shape ROWSxCOLS]... [--tokens N]... [--packing NAME]...
//
// From 17 tokens on these are the kernels of ternary_gemm.metal, below those of ternary_gemv.metal.
// Weights are rotated through more memory than the second-level cache holds. Build the cubin with
// -DMSL_WHOLE_SIMDGROUPS: every threadgroup here is whole. What must be rearranged of the
// activations (5in8, 3in5) is not in the times.
#include <cstdio>
#include <exception>
#include <iostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "bitnet/types.h"

#include "cuda_bench.h"
#include "kernels/ternary_gemm.h"
#include "kernels/ternary_gemv.h"
#include "shaders/shader_types.h"
#include "tensor/layout.h"

namespace bitnet::bench {
namespace {

struct Options {
  std::string cubin;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> shapes;  // rows, cols
  std::vector<std::uint32_t> tokens;
  std::vector<Packing> packings;
};

struct Case {
  Packing packing;
  std::uint32_t rows;
  std::uint32_t cols;
  std::uint32_t tokens;
};

std::vector<std::int8_t> random_values(std::mt19937& random, std::size_t count, int low, int high) {
  std::uniform_int_distribution<int> values(low, high);
  std::vector<std::int8_t> result(count);
  std::ranges::generate(result, [&] { return static_cast<std::int8_t>(values(random)); });
  return result;
}

bool is_gemm(const Case& problem) { return problem.tokens >= kernels::kGemmTokens; }

std::vector<std::string> kernels_for(const Case& problem) {
  if (!is_gemm(problem)) {
    return {kernels::gemv_kernel(problem.packing, problem.rows, problem.tokens)};
  }
  return {kernels::matrices_kernel(problem.packing), kernels::tiles_kernel(problem.packing)};
}

shaders::TernaryMatmulParams params_of(const Case& problem, DType dtype) {
  return {.layout = {.rows = problem.rows,
                     .cols = problem.cols,
                     .packing = static_cast<std::uint32_t>(problem.packing),
                     .group_cols = problem.cols,
                     .scale_stride = 0},
          .tokens = problem.tokens,
          .groups = 1,
          .dtype = static_cast<std::uint32_t>(dtype)};
}

// In the order of kernels::code_planes(), or natural and padded for many tokens.
std::vector<std::int8_t> arranged(const Case& problem, const std::vector<std::int8_t>& codes) {
  const std::size_t planes = is_gemm(problem) ? 1 : kernels::code_planes(problem.packing).planes;
  const std::size_t plane = is_gemm(problem)
                                ? kernels::gemm_params(params_of(problem, DType::i32)).code_cols
                                : kernels::plane_cols(problem.packing, problem.cols);
  std::vector<std::int8_t> result(problem.tokens * planes * plane, 0);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const std::size_t token = i / problem.cols;
    const std::size_t col = i % problem.cols;
    result[(token * planes + col % planes) * plane + col / planes] = codes[i];
  }
  return result;
}

std::vector<std::int32_t> reference(const Case& problem, const std::vector<std::int8_t>& trits,
                                    const std::vector<std::int8_t>& codes) {
  std::vector<std::int32_t> sums;
  for (std::size_t token = 0; token < problem.tokens; ++token) {
    for (std::size_t row = 0; row < problem.rows; ++row) {
      const std::int8_t* w = trits.data() + row * problem.cols;
      const std::int8_t* x = codes.data() + token * problem.cols;
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < problem.cols; ++i) sum += w[i] * x[i];
      sums.push_back(sum);
    }
  }
  return sums;
}

// The kernels of one problem.
class TernaryBench {
 public:
  TernaryBench(const Gpu& gpu, const Case& problem)
      : gpu_(gpu),
        problem_(problem),
        weight_bytes_(packed_size(problem.packing, problem.rows, problem.cols)),
        copies_(static_cast<int>(4 * gpu.cache_bytes() / weight_bytes_) + 4),
        weights_(weight_bytes_ * static_cast<std::size_t>(copies_)),
        scales_(4 * problem.tokens),
        codes_(std::size_t{problem.tokens} * (problem.cols + kPadding)),
        output_(std::size_t{4} * problem.rows * problem.tokens) {
    std::mt19937 random(std::random_device{}());
    const auto trits = random_values(random, std::size_t{problem.rows} * problem.cols, -1, 1);
    const auto codes = random_values(random, std::size_t{problem.tokens} * problem.cols, -128, 127);
    expected_ = reference(problem, trits, codes);
    std::vector<std::byte> packed(weight_bytes_);
    layout::pack(problem.packing, trits, problem.rows, problem.cols, packed);
    for (int i = 0; i < copies_; ++i) {
      weights_.write(packed, weight_bytes_ * static_cast<std::size_t>(i));
    }
    const auto ordered = arranged(problem, codes);
    codes_.write(std::as_bytes(std::span(ordered)));
    const std::vector<float> ones(problem.tokens, 1.0F);
    scales_.write(std::as_bytes(std::span(ones)));
  }

  [[nodiscard]] double weight_bytes() const { return static_cast<double>(weight_bytes_); }

  // Throws when the kernel's sums are not the reference's.
  void verify(CUfunction function) const {
    output_.fill(0xa5);
    encode(function, 0, DType::i32);
    gpu_.wait();
    std::vector<std::int32_t> sums(expected_.size());
    output_.read(std::as_writable_bytes(std::span(sums)));
    if (sums != expected_) throw std::runtime_error("the sums differ from the reference");
  }
  [[nodiscard]] double time(CUfunction function) const {
    return microseconds(gpu_, copies_, [&](int i) { encode(function, i, DType::f16); });
  }

 private:
  void encode(CUfunction function, int copy, DType dtype) const {
    const shaders::TernaryMatmulParams params = params_of(problem_, dtype);
    const CUdeviceptr weights = weights_.address() + weight_bytes_ * static_cast<std::size_t>(copy);
    const auto issue = [&](const kernels::Launch& geometry, const auto& parameters) {
      launch(
          gpu_, function,
          arguments(
              {weights, scales_.address(), codes_.address(), scales_.address(), output_.address()},
              parameters),
          {geometry.threadgroups.x, geometry.threadgroups.y}, {geometry.threads_per_threadgroup.x});
    };
    if (is_gemm(problem_)) {
      issue(kernels::gemm_launch(params), kernels::gemm_params(params));
    } else {
      issue(kernels::gemv_launch(params), params);
    }
  }

  static constexpr std::size_t kPadding = 384;  // columns, at most, in any packing

  const Gpu& gpu_;
  Case problem_;
  std::size_t weight_bytes_;
  int copies_;
  Memory weights_;
  Memory scales_;  // ones: of the weights and of the tokens
  Memory codes_;
  Memory output_;
  std::vector<std::int32_t> expected_;
};

void run(const Options& options) {
  const Gpu gpu;
  const Module module(options.cubin);
  const double copy = copy_bandwidth(gpu);
  std::printf("%s, copy %.0f GB/s\n", gpu.name().c_str(), copy / 1e9);
  std::printf("%-34s %12s %7s %9s %8s %7s %7s\n", "kernel", "rows x cols", "tokens", "us", "GB/s",
              "of copy", "TOPS");
  for (const auto& [rows, cols] : options.shapes) {
    for (const Packing packing : options.packings) {
      for (const std::uint32_t tokens : options.tokens) {
        const Case problem{packing, rows, cols, tokens};
        const TernaryBench bench(gpu, problem);
        for (const std::string& name : kernels_for(problem)) {
          CUfunction function = module.find(name);
          if (function == nullptr) throw std::runtime_error(options.cubin + " has no " + name);
          bench.verify(function);
          const double time = bench.time(function);
          const double bytes =
              bench.weight_bytes() + static_cast<double>(tokens) * (cols + 2.0 * rows);
          const std::string shape = std::to_string(rows) + " x " + std::to_string(cols);
          std::printf("%-34s %12s %7u %9.2f %8.0f %6.0f%% %7.2f\n", name.c_str(), shape.c_str(),
                      tokens, time, bytes / time / 1e3, 1e8 * bytes / time / copy,
                      2e-6 * tokens * rows * cols / time);
        }
      }
    }
  }
}

std::uint32_t number(std::string_view text) {
  std::size_t used = 0;
  const unsigned long value = std::stoul(std::string(text), &used);
  if (used != text.size()) throw std::runtime_error("not a number: " + std::string(text));
  return static_cast<std::uint32_t>(value);
}

Packing packing_of(std::string_view text) {
  for (const Packing packing :
       {Packing::two_bit, Packing::two_bit_tiled, Packing::five_in_eight, Packing::three_in_five}) {
    if (name(packing) == text) return packing;
  }
  throw std::runtime_error("no packing is called " + std::string(text));
}

Options parse(std::span<char*> arguments) {
  Options options;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (!argument.starts_with("--")) {
      options.cubin = argument;
      continue;
    }
    if (++i == arguments.size()) throw std::runtime_error(std::string(argument) + " needs a value");
    const std::string_view value = arguments[i];
    if (argument == "--shape") {
      const std::size_t x = value.find('x');
      if (x == value.npos) throw std::runtime_error("a shape is ROWSxCOLS");
      options.shapes.emplace_back(number(value.substr(0, x)), number(value.substr(x + 1)));
    } else if (argument == "--tokens") {
      options.tokens.push_back(number(value));
    } else if (argument == "--packing") {
      options.packings.push_back(packing_of(value));
    } else {
      throw std::runtime_error("unknown option " + std::string(argument));
    }
  }
  if (options.cubin.empty()) throw std::runtime_error("which cubin?");
  // The linear layers of BitNet b1.58 2B4T.
  if (options.shapes.empty()) {
    options.shapes = {{2560, 2560}, {3840, 2560}, {13824, 2560}, {2560, 6912}};
  }
  if (options.tokens.empty()) options.tokens = {1, 2, 4, 8};
  if (options.packings.empty()) {
    options.packings = {Packing::two_bit_tiled, Packing::two_bit, Packing::five_in_eight,
                        Packing::three_in_five};
  }
  return options;
}

}  // namespace
}  // namespace bitnet::bench

int main(int count, char** arguments) {
  try {
    bitnet::bench::run(bitnet::bench::parse(std::span(arguments, static_cast<std::size_t>(count))));
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "shader_bench: " << error.what() << '\n';
    return 1;
  }
}
