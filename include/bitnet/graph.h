// SPDX-License-Identifier: MIT
// Graphs: a network is built once, then compiled for a device and executed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bitnet/device.h"
#include "bitnet/export.h"
#include "bitnet/kernels.h"
#include "bitnet/tensor.h"

namespace bitnet {

namespace graph {
struct Ir;
class Program;
}  // namespace graph

// An extent that is a number, or a symbol ("tokens") bound by the inputs' shapes at execution.
struct Dim {
  std::int64_t value = 0;
  std::string symbol;                                 // empty: `value` holds
  Dim(std::int64_t extent) : value(extent) {}         // NOLINT
  Dim(int extent) : value(extent) {}                  // NOLINT
  Dim(const char* name) : symbol(name) {}             // NOLINT
  Dim(std::string name) : symbol(std::move(name)) {}  // NOLINT
  [[nodiscard]] bool is_symbolic() const noexcept { return !symbol.empty(); }
  [[nodiscard]] bool operator==(const Dim&) const = default;
};
using SymbolicShape = std::vector<Dim>;

class Executable;

// A builder, for one thread. Operations infer and check types at once and throw `invalid_argument`
// naming the operation and the types. compile() copies what it needs. Operations see the states as
// the kv_append calls before them left them.
//
// Results have the type of the first float operand, except that matmul, gather_rows and reduce give
// f32 (argmax: i32), and that cast and ternary_matmul give what they are told.
class BITNET_API Graph {
 public:
  enum class Value : std::uint32_t {};
  struct Quantized {
    Value codes;   // i8 [T, K]
    Value scales;  // f32 [T]
  };

  Graph();
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();

  Value placeholder(SymbolicShape shape, DType dtype, std::string name = "");
  // A contiguous tensor, on any device; compile() moves it.
  Value constant(const Tensor& value, std::string name = "");
  // Memory that lives across executions (a key-value cache), given by a StateSet.
  Value state(SymbolicShape shape, DType dtype, std::string name);

  // group_size: columns that share a scale; 0 unless the granularity is group.
  Value quantize_weights(Value weights, Packing packing, ScaleGranularity granularity,
                         std::int64_t group_size = 0);
  Quantized quantize_activations(Value x);
  Value ternary_matmul(Value weights, Quantized x, DType output = DType::f32);
  Value bitnet_linear(Value x, Value weights);  // quantize_activations, then ternary_matmul
  // weight_scales belongs to i8 weights and tables only.
  Value matmul(Value weights, Value x);
  Value matmul(Value weights, Value weight_scales, Value x);
  Value binary(Binary operation, Value a, Value b);
  Value unary(Unary operation, Value x);
  Value scale(Value x, float factor);
  Value cast(Value x, DType dtype);
  Value gated_activation(Unary activation, Value gate, Value up);
  Value reduce(Reduction operation, Value x);
  Value softmax(Value x);
  Value rms_norm(Value x, Value gain, float epsilon);
  Value rope(Value x, Value positions, Value inverse_frequencies, RopeStyle style);
  Value gather_rows(Value table, Value ids);
  Value gather_rows(Value table, Value table_scales, Value ids);
  // Shapes as in bitnet/kernels.h; writes the caches, which must be states.
  void kv_append(Value key, Value value, Value positions, Value sequences, Value key_cache,
                 Value value_cache);
  Value attention(Value query, Value key_cache, Value value_cache, Value positions, Value sequences,
                  float scale);
  // The same elements in row-major order, as a view. Both shapes must have the same number of
  // elements whatever the symbols' values: the same symbols, and equal products of the rest.
  Value reshape(Value x, SymbolicShape shape);

  // `outputs`: {} means the last value made; states cannot be outputs. What depends on constants
  // alone is computed here, once.
  [[nodiscard]] Executable compile(const Device& device, std::span<const Value> outputs = {}) const;
  [[nodiscard]] const graph::Ir& ir() const noexcept { return *ir_; }

 private:
  std::unique_ptr<graph::Ir> ir_;
};

// The states of one run of an Executable, by name. One thread at a time.
class BITNET_API StateSet {
 public:
  [[nodiscard]] const Tensor& operator[](std::string_view name) const;
  void set(std::string name, Tensor value) { tensors_.insert_or_assign(std::move(name), value); }

 private:
  std::map<std::string, Tensor, std::less<>> tensors_;
};

// Compiled and immutable; execute() may run on several threads at once (with different states).
class BITNET_API Executable {
 public:
  // Inputs, contiguous and on this device, in the order of the placeholders; outputs, in memory of
  // their own, in the order given to compile(). Returns when the device is done; throws
  // `invalid_argument` for inputs that do not fit, and what the device reports.
  [[nodiscard]] std::vector<Tensor> execute(std::span<const Tensor> inputs) const;
  [[nodiscard]] std::vector<Tensor> execute(std::span<const Tensor> inputs, StateSet& states) const;
  // Zeroed states; `extents` gives the value of each symbol in their shapes.
  [[nodiscard]] StateSet new_states(const std::map<std::string, std::int64_t>& extents) const;
  [[nodiscard]] const Device& device() const noexcept;

 private:
  friend class Graph;
  explicit Executable(std::shared_ptr<const graph::Program> program)
      : program_(std::move(program)) {}
  std::shared_ptr<const graph::Program> program_;
};

}  // namespace bitnet
