// SPDX-License-Identifier: Apache-2.0
#include "common/http/json_parse.h"

#include <set>

#include "common/base/limits.h"

namespace millrace::http {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Length of the well-formed UTF-8 sequence at the start of `text` (RFC 3629 table), 0 if there is none.
size_t SequenceLength(std::string_view text) {
  auto at = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  auto tail = [&](size_t i, unsigned low = 0x80, unsigned high = 0xBF) { return at(i) >= low && at(i) <= high; };
  unsigned first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    return tail(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF) && tail(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    return tail(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

void AppendUtf8(unsigned code, std::string* out) {
  if (code < 0x80) {
    *out += static_cast<char>(code);
  } else if (code < 0x800) {
    *out += static_cast<char>(0xC0 | code >> 6);
    *out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    *out += static_cast<char>(0xE0 | code >> 12);
    *out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    *out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    *out += static_cast<char>(0xF0 | code >> 18);
    *out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    *out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    *out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

class Parser {
 public:
  Parser(std::string_view text, std::string_view pointer) : text_(text), pointer_(pointer) {}

  Result<JsonValue> Document() {
    JsonValue value;
    if (text_.starts_with("\xEF\xBB\xBF")) Refuse("a byte order mark is not allowed");
    Blanks();
    if (!failed_ && at_ == text_.size()) Refuse("the text is empty");
    if (!failed_) Value(&value, 1);
    Blanks();
    if (!failed_ && at_ < text_.size()) Refuse("there is more text after the value");
    if (failed_) return Fail(Failure());
    return value;
  }

 private:
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void Blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
      ++at_;
  }
  // What must stand here but does not. People type 全角 signs with a Chinese keyboard.
  void Missing(std::string sign) {
    bool ends = at_ == text_.size(), wide = !ends && static_cast<unsigned char>(text_[at_]) >= 0x80;
    if (ends) return Refuse("the text ends too early");
    Refuse(wide ? "JSON's own signs are half-width: \" : , { } [ ]" : sign + " must stand here");
  }
  void Refuse(std::string reason) {
    if (failed_) return;
    failed_ = true;
    reason_ = std::move(reason);
  }
  Error Failure() const {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at_ && i < text_.size(); ++i) {
      ++column;
      if (text_[i] == '\n') {
        ++line;
        column = 1;
      }
    }
    return Error::At(pointer_, ErrorCode::kInvalidJson,
                     {{"line", std::to_string(line)}, {"column", std::to_string(column)}, {"reason", reason_}});
  }

  void Value(JsonValue* value, int depth) {
    char c = Peek();
    if (c == '{') return Object(value, depth);
    if (c == '[') return Array(value, depth);
    if (c == '"') {
      value->kind = JsonValue::Kind::kString;
      return String(&value->text);
    }
    if (c == '-' || IsDigit(c)) return Number(value);
    if (Word("true") || Word("false")) {
      value->kind = JsonValue::Kind::kBool;
      value->truth = c == 't';
      return;
    }
    if (Word("null")) return;
    Missing("a value");
  }

  bool Word(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  bool Deeper(int depth) {
    if (depth <= limits::kJsonDepth) return true;
    Refuse("values are nested deeper than " + std::to_string(limits::kJsonDepth) + " levels");
    return false;
  }

  void Object(JsonValue* value, int depth) {
    value->kind = JsonValue::Kind::kObject;
    if (!Deeper(depth)) return;
    ++at_;
    Blanks();
    if (Take('}')) return;
    std::set<std::string> names;
    size_t length = pointer_.size();
    while (!failed_) {
      Blanks();
      if (Peek() != '"') return Missing("a name in double quotes");
      size_t start = at_;
      std::string name;
      String(&name);
      if (failed_) return;
      pointer_ += '/';
      pointer_ += PointerToken(name);
      if (!names.insert(name).second) {
        at_ = start;
        return Refuse("the name stands twice in one object");
      }
      Blanks();
      if (!Take(':')) return Missing("a colon");
      Blanks();
      value->members.push_back({std::move(name), JsonValue()});
      Value(&value->members.back().value, depth + 1);
      if (failed_) return;
      pointer_.resize(length);
      Blanks();
      if (Take('}')) return;
      if (!Take(',')) return Missing("a comma or }");
    }
  }

  void Array(JsonValue* value, int depth) {
    value->kind = JsonValue::Kind::kArray;
    if (!Deeper(depth)) return;
    ++at_;
    Blanks();
    if (Take(']')) return;
    size_t length = pointer_.size();
    while (!failed_) {
      Blanks();
      pointer_ += '/' + std::to_string(value->items.size());
      value->items.emplace_back();
      Value(&value->items.back(), depth + 1);
      if (failed_) return;
      pointer_.resize(length);
      Blanks();
      if (Take(']')) return;
      if (!Take(',')) return Missing("a comma or ]");
    }
  }

  void Digits() {
    if (!IsDigit(Peek())) return Refuse("a digit must stand here");
    while (IsDigit(Peek())) ++at_;
  }

  void Number(JsonValue* value) {
    value->kind = JsonValue::Kind::kNumber;
    size_t start = at_;
    Take('-');
    if (Take('0')) {
      if (IsDigit(Peek())) return Refuse("a number may not start with 0");
    } else {
      Digits();
    }
    if (!failed_ && Take('.')) Digits();
    if (!failed_ && (Peek() == 'e' || Peek() == 'E')) {
      ++at_;
      if (Peek() == '+' || Peek() == '-') ++at_;
      Digits();
    }
    if (at_ - start > 100) return Refuse("a number may have at most 100 characters");
    value->text = text_.substr(start, at_ - start);
  }

  void String(std::string* out) {
    ++at_;
    while (!failed_) {
      if (at_ == text_.size()) return Refuse("the text ends inside a string");
      unsigned char c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') {
        ++at_;
        return;
      }
      if (c < 0x20) return Refuse("control characters in a string must be escaped");
      if (c == '\\') {
        Escape(out);
        continue;
      }
      size_t length = SequenceLength(text_.substr(at_));
      if (length == 0) return Refuse("the text is not valid UTF-8");
      out->append(text_.substr(at_, length));
      at_ += length;
    }
  }

  int Hex4() {
    if (text_.size() - at_ < 4) {
      Refuse("four hexadecimal digits must stand here");
      return 0;
    }
    int code = 0;
    for (int i = 0; i < 4; ++i) {
      char c = text_[at_ + i];
      int digit = IsDigit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
      if (digit < 0) {
        Refuse("four hexadecimal digits must stand here");
        return 0;
      }
      code = code * 16 + digit;
    }
    at_ += 4;
    return code;
  }

  void Escape(std::string* out) {
    size_t start = at_++;
    char c = Peek();
    ++at_;
    static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    if (size_t found = kFrom.find(c); c != '\0' && found != kFrom.npos) {
      *out += kTo[found];
      return;
    }
    if (c != 'u') {
      at_ = start;
      return Refuse("there is no such escape");
    }
    unsigned code = static_cast<unsigned>(Hex4());
    if (failed_) return;
    bool lone = code >= 0xDC00 && code <= 0xDFFF;
    if (code >= 0xD800 && code <= 0xDBFF) {
      lone = !Word("\\u");
      unsigned low = lone ? 0 : static_cast<unsigned>(Hex4());
      if (failed_) return;
      lone = lone || low < 0xDC00 || low > 0xDFFF;
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (lone) {
      at_ = start;
      return Refuse("a surrogate stands alone");
    }
    AppendUtf8(code, out);
  }

  std::string_view text_;
  std::string pointer_;
  size_t at_ = 0;
  bool failed_ = false;
  std::string reason_;
};

}  // namespace

Result<JsonValue> ParseJson(std::string_view text, std::string_view pointer) {
  return Parser(text, pointer).Document();
}

bool IsWellFormed(std::string_view text) {
  while (!text.empty()) {
    size_t length = SequenceLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string PointerToken(std::string_view name) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  static constexpr std::string_view kPlain = "-._~!$&'()*+,;=:@?";
  std::string out;
  for (char c : name) {
    bool alphanumeric = IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else if (alphanumeric || (c != '\0' && kPlain.find(c) != kPlain.npos)) {
      out += c;
    } else {
      unsigned char byte = static_cast<unsigned char>(c);
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace millrace::http
