// SPDX-License-Identifier: MIT
// The template of microsoft/bitnet-b1.58-2B-4T's tokenizer_config.json:
//   {% for message in messages %}{{ message['role'] | capitalize + ': ' + message['content'] | trim
//   + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}
// The filter binds tighter than the sum, so the content alone is trimmed. The tokenizer puts
// <|begin_of_text|> in front. (gpu/tokenizer.py of microsoft/BitNet encodes "User: " and the
// content apart, which gives another token at the border; the model card's own usage is followed
// here.)
#include <string>

#include "text/tokenizer.h"
#include "text/utf8.h"
#include "utils/checks.h"

namespace bitnet {
namespace {

std::string_view title_of(std::string_view role) {
  if (role == "system") return "System: ";
  if (role == "user") return "User: ";
  if (role == "assistant") return "Assistant: ";
  utils::fail(ErrorCode::invalid_argument, "encode_chat", "role \"", role,
              "\" is not system, user or assistant");
}

}  // namespace

std::vector<std::int32_t> encode_chat(const Tokenizer& tokenizer,
                                      std::span<const ChatMessage> messages) {
  const auto& impl = tokenizer.impl();
  const auto end_of_turn = impl.added.find("<|eot_id|>");
  if (!impl.bos || !end_of_turn) {
    utils::fail(ErrorCode::unsupported, "encode_chat", "the tokenizer has no ",
                impl.bos ? "<|eot_id|>" : "beginning-of-text", " token");
  }
  // Another model's template would be followed wrongly. GGUF files of BitNet b1.58 2B4T carry a
  // defective one, with "BITNETAssistant: ", which passes.
  if (!impl.chat_template.empty() && impl.chat_template.find("Assistant: ") == std::string::npos) {
    utils::fail(ErrorCode::unsupported, "encode_chat",
                "the tokenizer's chat template is not that of BitNet b1.58");
  }
  constexpr EncodeOptions kPlain{.add_bos = false, .parse_special = false};
  std::vector<std::int32_t> ids{*impl.bos};
  const auto append = [&](const std::string& text) {
    const auto encoded = tokenizer.encode(text, kPlain);
    ids.insert(ids.end(), encoded.begin(), encoded.end());
  };
  for (const ChatMessage& message : messages) {
    std::string turn(title_of(message.role));
    turn += text::strip(text::replace_invalid_utf8(message.content));
    append(turn);
    ids.push_back(*end_of_turn);
  }
  append(std::string(title_of("assistant")));
  return ids;
}

}  // namespace bitnet
