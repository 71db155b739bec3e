// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/document.h"

#include <gtest/gtest.h>

namespace millrace::identity::domain {
namespace {

const std::string kPdf = "%PDF-1.7\n", kPng = "\x89PNG\r\n\x1A\n....", kJpeg = "\xFF\xD8\xFF\xE0....";

TEST(DocumentTest, TheContentSaysWhatItIs) {
  EXPECT_EQ(MediaTypeOf(kPdf), "application/pdf");
  EXPECT_EQ(MediaTypeOf(kPng), "image/png");
  EXPECT_EQ(MediaTypeOf(kJpeg), "image/jpeg");
  for (const std::string& other :
       {std::string(), std::string("%PDF"), std::string("<html>%PDF-"), std::string("GIF89a"), kPng.substr(1),
        std::string("PK\x03\x04"), std::string("\xFF\xD8", 2)}) {
    EXPECT_EQ(MediaTypeOf(other), "") << other;
    auto refused = CheckContent(other, "application/pdf", "#/file");
    ASSERT_FALSE(refused) << other;
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupportedMediaType);
    EXPECT_EQ(refused.error().violations.at(0).pointer, "#/file");
  }
}

TEST(DocumentTest, WhatItWasSentAsMustNotBeAnother) {
  for (const char* type : {"", "application/octet-stream", "application/pdf", "Application/PDF; name=\"x\""}) {
    auto taken = CheckContent(kPdf, type, "#/file");
    ASSERT_TRUE(taken) << type;
    EXPECT_EQ(*taken, "application/pdf");
  }
  for (const char* type : {"image/png", "text/html", "application/pdf2", "application"}) {
    auto refused = CheckContent(kPdf, type, "#/file");
    ASSERT_FALSE(refused) << type;
    EXPECT_EQ(refused.error().params.at("accept"), "application/pdf");
  }
}

TEST(DocumentTest, AFileNameNamesNoFolder) {
  for (const char* name : {"营业执照.pdf", "a", "scan 1 (2).PNG", ".hidden", "...", "\"quoted\".pdf"})
    EXPECT_TRUE(CheckFileName(name, "#/file_name")) << name;
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/b.pdf"), std::string("..\\b.pdf"),
        std::string("a\nb"), std::string("a\0b", 3), std::string("a\x7F")}) {
    auto refused = CheckFileName(name, "#/file_name");
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().params.at("field"), "file_name");
  }
}

TEST(DocumentTest, WhatADecisionRestsOnStays) {
  for (State state : {State::kPending, State::kVerified, State::kSuspended})
    EXPECT_TRUE(CheckDocumentAct(state, DocumentAct::kUpload));
  EXPECT_TRUE(CheckDocumentAct(State::kPending, DocumentAct::kDelete));
  for (State state : {State::kVerified, State::kSuspended, State::kRejected}) {
    auto refused = CheckDocumentAct(state, DocumentAct::kDelete);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kStateConflict);
  }
  EXPECT_EQ(CheckDocumentAct(State::kRejected, DocumentAct::kUpload).error().params.at("state"), "REJECTED");
}

}  // namespace
}  // namespace millrace::identity::domain
