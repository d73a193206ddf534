// SPDX-License-Identifier: MIT
// Telling the two i2_s layouts apart.
#pragma once

#include <string>
#include <vector>

#include "bitnet/model.h"

#include "model/stored_tensor.h"

namespace bitnet::model {

// Two views of one axis of the network: columns of an i2_s matrix, whose order depends on the
// layout, and something of the same length whose order does not: a norm's gains, or the rows of a
// matrix that writes to that axis.
struct I2sEvidence {
  const StoredTensor* columns = nullptr;  // i2_s [rows, n]
  const StoredTensor* gains = nullptr;    // float [n]; or null and:
  const StoredTensor* rows = nullptr;     // i2_s [n, cols]
};

struct I2sGuess {
  I2sVariant variant = I2sVariant::x86;
  bool certain = false;
  std::string reason;  // one line for people
};

// What can be known. Both layouts store the same three codes in the same bytes, and one is a
// permutation of the other within each 128 weights: no checksum, no invalid code and no statistic
// of one matrix alone tells them apart. Two things do:
// - A tensor of 64 (mod 128) weights cannot be x86's. This is proof.
// - In a trained network the share of zeros in a column goes with the gain of the norm in front of
//   that column and with the share of zeros in the rows that feed it. The layout that is wrong
//   destroys that correlation. This is statistics: the log-likelihood ratio of the two readings,
//   taken as certain beyond six standard deviations of what unrelated data would give. On the
//   network this project trained it is 3810 where 49 would decide. Networks with random weights
//   show nothing.
// Without evidence the guess is x86, where all files known to be published were written.
[[nodiscard]] I2sGuess guess_i2s_variant(const std::vector<const StoredTensor*>& tensors,
                                         const std::vector<I2sEvidence>& evidence);

}  // namespace bitnet::model
