// SPDX-License-Identifier: MIT
#include "bitnet/tensor.h"

#include <gtest/gtest.h>
#include <numeric>
#include <vector>

#include "support/devices.h"
#include "support/errors.h"
#include "support/random.h"

namespace bitnet {
namespace {

using testing::cpu;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::is_error;

Tensor counting(Shape shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  std::iota(values.begin(), values.end(), 0.0F);
  return Tensor::from_host<float>(cpu(), values, shape);
}

TEST(Tensor, CopiesFromAndToTheHost) {
  const std::vector<std::int32_t> values = {1, -2, 3, 4, 5, 6};
  const Tensor tensor = Tensor::from_host<std::int32_t>(cpu(), values, {2, 3});
  EXPECT_EQ(tensor.dtype(), DType::i32);
  EXPECT_EQ(tensor.to_host<std::int32_t>(), values);
  EXPECT_EQ(tensor.byte_size(), 24U);
  EXPECT_EQ(tensor.data<std::int32_t>()[1], -2);
  EXPECT_EQ(tensor.bytes().size(), 24U);
  EXPECT_TRUE(tensor.to(cpu()).buffer().impl() == tensor.buffer().impl());
  EXPECT_THAT(error_of([&] { (void)tensor.to_host<float>(); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("i32 read as f32")));
  EXPECT_THAT(error_of([&] { (void)Tensor::from_host<std::int32_t>(cpu(), values, {7}); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("24 bytes")));
}

TEST(Tensor, ScalarsAndEmptyTensors) {
  const Tensor scalar = Tensor::from_host<float>(cpu(), std::vector{2.5F}, {});
  EXPECT_THAT(scalar.to_host<float>(), ElementsAre(2.5F));
  const Tensor none = Tensor::empty(cpu(), {3, 0}, DType::f16);
  EXPECT_EQ(none.byte_size(), 0U);
  EXPECT_TRUE(none.is_contiguous());
  EXPECT_TRUE(none.to_host<float16>().empty());
  EXPECT_FALSE(Tensor());
}

TEST(Tensor, ViewsShareMemoryAndKeepStrides) {
  const Tensor tensor = counting({2, 3, 4});
  const Tensor slice = tensor.slice(1, 1, 3);
  EXPECT_EQ(slice.shape(), (Shape{2, 2, 4}));
  EXPECT_THAT(slice.strides(), ElementsAre(12, 4, 1));
  EXPECT_FALSE(slice.is_contiguous());
  EXPECT_THAT(slice.select(0, 1).select(1, 2).to_host<float>(), ElementsAre(18, 22));
  EXPECT_THAT(tensor.select(2, 3).to_host<float>(), ElementsAre(3, 7, 11, 15, 19, 23));
  const Tensor turned = tensor.select(0, 1).transpose(0, 1);
  EXPECT_EQ(turned.shape(), (Shape{4, 3}));
  EXPECT_THAT(turned.to_host<float>(), ElementsAre(12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23));
  EXPECT_EQ(slice.byte_size(), (12U + 4U + 4U) * 4U);
  EXPECT_EQ(slice.offset(), 16U);
  slice.data<float>()[0] = -1.0F;
  EXPECT_EQ(tensor.to_host<float>()[4], -1.0F);
  EXPECT_EQ(tensor.reshape({4, 6}).shape(), (Shape{4, 6}));
  EXPECT_EQ(tensor.slice(0, 2, 2).byte_size(), 0U);
  // The stride of an axis of one element does not matter.
  EXPECT_TRUE(tensor.select(0, 0).slice(0, 1, 2).transpose(0, 1).is_contiguous());
}

TEST(Tensor, ViewErrorsNameTheValues) {
  const Tensor tensor = counting({2, 3});
  const auto code = ErrorCode::invalid_argument;
  EXPECT_THAT(error_of([&] { (void)tensor.slice(2, 0, 1); }), is_error(code, HasSubstr("axis 2")));
  EXPECT_THAT(error_of([&] { (void)tensor.slice(1, 2, 4); }), is_error(code, HasSubstr("[2, 4)")));
  EXPECT_THAT(error_of([&] { (void)tensor.slice(1, 2, 1); }), is_error(code, HasSubstr("[2, 1)")));
  EXPECT_THAT(error_of([&] { (void)tensor.slice(1, -1, 1); }), is_error(code, HasSubstr("[-1,")));
  EXPECT_THAT(error_of([&] { (void)tensor.select(0, 2); }), is_error(code, HasSubstr("[2, 3)")));
  EXPECT_THAT(error_of([&] { (void)tensor.transpose(0, 2); }),
              is_error(code, HasSubstr("0 and 2")));
  EXPECT_THAT(error_of([&] { (void)tensor.reshape({5}); }), is_error(code, HasSubstr("as [5]")));
  EXPECT_THAT(error_of([&] { (void)tensor.transpose(0, 1).reshape({6}); }),
              is_error(code, HasSubstr("contiguous")));
  EXPECT_THAT(error_of([&] { (void)tensor.transpose(0, 1).bytes(); }),
              is_error(code, HasSubstr("not contiguous")));
  EXPECT_THAT(error_of([&] { (void)tensor.packing(); }), is_error(code, HasSubstr("not ternary")));
}

TEST(Tensor, ViewsOfABufferMustFitAndBeAligned) {
  const Buffer buffer = cpu().allocate(64);
  EXPECT_EQ(Tensor::from_buffer(cpu(), buffer, {4}, DType::f32, 48).offset(), 48U);
  for (const std::size_t offset : {52U, 64U, 1000U}) {
    EXPECT_THAT(
        error_of([&] { (void)Tensor::from_buffer(cpu(), buffer, {4}, DType::f32, offset); }),
        is_error(ErrorCode::invalid_argument, HasSubstr("exceeds the buffer of 64")));
  }
  EXPECT_THAT(error_of([&] { (void)Tensor::from_buffer(cpu(), buffer, {1}, DType::f32, 2); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("aligned")));
  EXPECT_THAT(error_of([&] { (void)Tensor::empty(cpu(), {1LL << 62}, DType::f32); }),
              is_error(ErrorCode::invalid_argument, HasSubstr("2^63 bytes")));
}

TEST(Tensor, TernaryTensorsCarryPackingAndScales) {
  const Tensor one =
      Tensor::empty_ternary(cpu(), 5, 70, Packing::two_bit, ScaleGranularity::tensor);
  EXPECT_EQ(one.shape(), (Shape{5, 70}));
  EXPECT_EQ(one.scales().shape(), (Shape{1}));
  EXPECT_EQ(one.granularity(), ScaleGranularity::tensor);
  EXPECT_EQ(one.byte_size(), 5U * 32U);
  EXPECT_EQ(one.group_size(), 0);
  EXPECT_TRUE(one.strides().empty());
  const Tensor rows =
      Tensor::empty_ternary(cpu(), 5, 70, Packing::three_in_five, ScaleGranularity::row);
  EXPECT_EQ(rows.scales().shape(), (Shape{5}));
  EXPECT_EQ(rows.granularity(), ScaleGranularity::row);
  const Tensor groups =
      Tensor::empty_ternary(cpu(), 5, 70, Packing::two_bit_tiled, ScaleGranularity::group, 32);
  EXPECT_EQ(groups.scales().shape(), (Shape{5, 3}));
  EXPECT_EQ(groups.granularity(), ScaleGranularity::group);
  EXPECT_EQ(groups.packing(), Packing::two_bit_tiled);

  const Tensor again = Tensor::from_packed(cpu(), groups.buffer(), 5, 70, Packing::two_bit_tiled,
                                           groups.scales(), 32);
  EXPECT_EQ(again.bytes().data(), groups.bytes().data());
  const auto code = ErrorCode::invalid_argument;
  EXPECT_THAT(error_of([&] { (void)one.slice(0, 0, 1); }), is_error(code, HasSubstr("ternary")));
  EXPECT_THAT(error_of([&] { (void)one.reshape({350}); }), is_error(code, HasSubstr("unpacked")));
  EXPECT_THAT(error_of([&] {
                (void)Tensor::from_packed(cpu(), one.buffer(), 6, 70, Packing::two_bit,
                                          one.scales());
              }),
              is_error(code, HasSubstr("needs 192 bytes")));
  EXPECT_THAT(error_of([&] {
                (void)Tensor::from_packed(cpu(), one.buffer(), 4, 70, Packing::two_bit,
                                          rows.scales());
              }),
              is_error(code, HasSubstr("do not fit")));
  EXPECT_THAT(error_of([&] {
                (void)Tensor::empty_ternary(cpu(), 5, 70, Packing::two_bit, ScaleGranularity::row,
                                            8);
              }),
              is_error(code, HasSubstr("group size 8")));
}

}  // namespace
}  // namespace bitnet
