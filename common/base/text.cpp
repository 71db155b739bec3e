// SPDX-License-Identifier: Apache-2.0
#include "common/base/text.h"

#include <unicode/normalizer2.h>
#include <unicode/translit.h>
#include <unicode/uchar.h>
#include <unicode/ucnv.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

#include <memory>

namespace millrace {
namespace {

bool IsHan(UChar32 c) {
  UErrorCode status = U_ZERO_ERROR;
  return uscript_getScript(c, &status) == USCRIPT_HAN && U_SUCCESS(status);
}

icu::UnicodeString Wide(std::string_view text) {
  return icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
}

// Each thread has its own: ICU's transliterators are not to be shared. Null where ICU lacks the data.
icu::Transliterator* ToSimplified() {
  thread_local std::unique_ptr<icu::Transliterator> instance = [] {
    UErrorCode status = U_ZERO_ERROR;
    std::unique_ptr<icu::Transliterator> made(icu::Transliterator::createInstance("Hant-Hans", UTRANS_FORWARD, status));
    if (U_FAILURE(status)) made.reset();
    return made;
  }();
  return instance.get();
}

bool IsSeparator(UChar32 c) { return u_isUWhiteSpace(c) || u_iscntrl(c) || u_ispunct(c); }

// The whole of `bytes` in a charset, or IMPORT_ENCODING at the first byte that does not belong to it.
Result<std::string> Convert(std::string_view bytes, const char* charset) {
  UErrorCode status = U_ZERO_ERROR;
  std::unique_ptr<UConverter, decltype(&ucnv_close)> converter(ucnv_open(charset, &status), &ucnv_close);
  if (U_FAILURE(status)) return Fail(Error::Internal(std::string("no converter for ") + charset));
  ucnv_setToUCallBack(converter.get(), UCNV_TO_U_CALLBACK_STOP, nullptr, nullptr, nullptr, &status);
  icu::UnicodeString wide;  // joined before it becomes UTF-8: the buffer's end may cut a pair of surrogates
  const char* from = bytes.data();
  const char* end = from + bytes.size();
  UChar buffer[2048];
  do {
    UChar* to = buffer;
    status = U_ZERO_ERROR;
    ucnv_toUnicode(converter.get(), &to, buffer + 2048, &from, end, nullptr, true, &status);
    if (U_FAILURE(status) && status != U_BUFFER_OVERFLOW_ERROR) return Fail(ErrorCode::kImportEncoding);
    wide.append(buffer, static_cast<int32_t>(to - buffer));
  } while (status == U_BUFFER_OVERFLOW_ERROR);
  std::string out;
  return wide.toUTF8String(out);
}

}  // namespace

bool IsUtf8(std::string_view text) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  size_t length = text.size();
  for (size_t at = 0; at < length;) {
    UChar32 c;
    U8_NEXT(bytes, at, length, c);
    if (c < 0) return false;
  }
  return true;
}

size_t CharacterCount(std::string_view text) {
  size_t count = 0;
  for (char byte : text) count += (static_cast<uint8_t>(byte) & 0xC0) != 0x80;
  return count;
}

std::string FoldText(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* fold = icu::Normalizer2::getNFKCCasefoldInstance(status);
  icu::UnicodeString wide = Wide(text);
  icu::UnicodeString folded = U_SUCCESS(status) ? fold->normalize(wide, status) : wide;
  bool has_han = false;
  for (int32_t at = 0; at < folded.length() && !has_han; at = folded.moveIndex32(at, 1))
    has_han = IsHan(folded.char32At(at));
  if (has_han) {
    if (icu::Transliterator* simplify = ToSimplified()) simplify->transliterate(folded);
  }
  icu::UnicodeString out;
  bool gap = false;
  for (int32_t at = 0; at < folded.length(); at = folded.moveIndex32(at, 1)) {
    UChar32 c = folded.char32At(at);
    if (IsSeparator(c)) {
      gap = true;
      continue;
    }
    if (gap && !out.isEmpty()) out.append(u' ');
    gap = false;
    out.append(c);
  }
  std::string result;
  return out.toUTF8String(result);
}

std::vector<std::string> SearchTerms(std::string_view folded) {
  std::vector<std::string> terms;
  std::vector<std::string> run;  // Han characters in a row
  std::string word;
  auto end_run = [&] {
    if (run.size() == 1) terms.push_back(run[0]);
    for (size_t i = 1; i < run.size(); ++i) terms.push_back(run[i - 1] + run[i]);
    run.clear();
  };
  auto end_word = [&] {
    if (!word.empty()) terms.push_back(std::move(word));
    word.clear();
  };
  const auto* bytes = reinterpret_cast<const uint8_t*>(folded.data());
  size_t length = folded.size();
  for (size_t at = 0; at < length;) {
    size_t start = at;
    UChar32 c;
    U8_NEXT(bytes, at, length, c);
    if (c >= 0 && IsHan(c)) {
      end_word();
      run.emplace_back(folded.substr(start, at - start));
      continue;
    }
    end_run();
    if (c < 0 || IsSeparator(c)) {
      end_word();
    } else {
      word += folded.substr(start, at - start);
    }
  }
  end_run();
  end_word();
  return terms;
}

namespace {

Result<std::string> Decode(std::string_view bytes) {
  if (bytes.starts_with("\xEF\xBB\xBF")) {
    bytes.remove_prefix(3);
    if (!IsUtf8(bytes)) return Fail(ErrorCode::kImportEncoding);
    return std::string(bytes);
  }
  if (bytes.starts_with("\xFF\xFE")) return Convert(bytes.substr(2), "UTF-16LE");
  if (bytes.starts_with("\xFE\xFF")) return Convert(bytes.substr(2), "UTF-16BE");
  if (bytes.starts_with("\x84\x31\x95\x33")) return Convert(bytes.substr(4), "GB18030");
  if (IsUtf8(bytes)) return std::string(bytes);
  return Convert(bytes, "GB18030");
}

}  // namespace

Result<std::string> DecodeFile(std::string_view bytes) {
  Result<std::string> text = Decode(bytes);
  // Two bytes a character without their mark, or no text at all.
  if (text && text->find('\0') != text->npos) return Fail(ErrorCode::kImportEncoding);
  return text;
}

}  // namespace millrace
