// SPDX-License-Identifier: Apache-2.0
#include "common/blob/blob.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "tests/support/loop.h"
#include "tests/support/temporary_folder.h"

namespace millrace::blob {
namespace {

namespace fs = std::filesystem;

class BlobTest : public ::testing::Test {
 protected:
  BlobTest() {
    folder_ = root_.path() + "/blobs";
    store_ = std::make_unique<Store>(folder_);
  }

  static Task<void> PutTask(Store& store, std::string bytes, Result<std::string>* out) {
    *out = co_await store.Put(std::move(bytes));
  }
  static Task<void> GetTask(Store& store, std::string hash, Result<std::string>* out) {
    *out = co_await store.Get(std::move(hash));
  }
  Result<std::string> Put(std::string bytes) {
    Result<std::string> out;
    loop_.Start(PutTask(*store_, std::move(bytes), &out));
    loop_.Run();
    return out;
  }
  Result<std::string> Get(std::string hash) {
    Result<std::string> out;
    loop_.Start(GetTask(*store_, std::move(hash), &out));
    loop_.Run();
    return out;
  }
  static Task<void> DoTask(Task<Result<void>> task, Result<void>* out) { *out = co_await std::move(task); }
  Result<void> SetAside(std::string hash) {
    Result<void> out = Fail(ErrorCode::kInternal);
    loop_.Start(DoTask(store_->SetAside(std::move(hash)), &out));
    loop_.Run();
    return out;
  }
  Result<void> Settle(std::string hash, bool keep) {
    Result<void> out = Fail(ErrorCode::kInternal);
    loop_.Start(DoTask(store_->Settle(std::move(hash), keep), &out));
    loop_.Run();
    return out;
  }
  std::vector<std::string> Files() {
    std::vector<std::string> files;
    if (!fs::exists(folder_)) return files;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      if (entry.is_regular_file()) files.push_back(entry.path().filename());
    }
    return files;
  }

  test::Loop loop_;
  test::TemporaryFolder root_;
  std::string folder_;
  std::unique_ptr<Store> store_;
};

TEST_F(BlobTest, GivesBackWhatItGot) {
  std::mt19937 random(7);
  for (size_t size : {size_t{0}, size_t{1}, size_t{65535}, size_t{65536}, size_t{65537}, size_t{3000000}}) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    Result<std::string> hash = Put(bytes);
    ASSERT_TRUE(hash) << hash.error().cause;
    Result<std::string> back = Get(*hash);
    ASSERT_TRUE(back) << back.error().cause;
    EXPECT_TRUE(*back == bytes) << size;
  }
  EXPECT_EQ(Files().size(), 6u);
}

TEST_F(BlobTest, TheSameContentIsOneFileUnderItsHash) {
  const std::string hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";  // FIPS 180-2: "abc"
  EXPECT_EQ(Put("abc").value_or(""), hash);
  EXPECT_EQ(Put("abc").value_or(""), hash);
  EXPECT_EQ(Files(), std::vector<std::string>{hash});
  EXPECT_TRUE(fs::exists(folder_ + "/ba/" + hash));
}

TEST_F(BlobTest, WhatIsNotThereOrIsNoHashIsNotFound) {
  std::ofstream(root_.path() + "/secret") << "secret";
  for (std::string name : {std::string(64, 'a'), std::string("../secret"), std::string("../../secret"), std::string(),
                           std::string(64, 'A'), std::string(63, 'a') + "/"}) {
    Result<std::string> got = Get(name);
    ASSERT_FALSE(got) << name;
    EXPECT_EQ(got.error().code, ErrorCode::kNotFound) << name;
  }
}

TEST_F(BlobTest, ChangedContentIsNoticed) {
  Result<std::string> hash = Put("weigh-bill 17");
  ASSERT_TRUE(hash);
  std::ofstream(folder_ + "/" + hash->substr(0, 2) + "/" + *hash) << "weigh-bill 71";
  Result<std::string> got = Get(*hash);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kInternal);
}

TEST_F(BlobTest, RemovalIsInTwoStepsAndCanBeUndone) {
  std::string hash = Put("licence").value_or("");
  ASSERT_TRUE(SetAside(hash));
  EXPECT_EQ(Get(hash).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(SetAside(hash)) << "safe to repeat";
  ASSERT_TRUE(Settle(hash, true));
  EXPECT_EQ(Get(hash).value_or(""), "licence");
  ASSERT_TRUE(Settle(hash, true));
  // Put anew while it is aside: it is whole either way.
  ASSERT_TRUE(SetAside(hash));
  ASSERT_TRUE(Put("licence"));
  ASSERT_TRUE(Settle(hash, false));
  EXPECT_EQ(Get(hash).value_or(""), "licence");
  ASSERT_TRUE(SetAside(hash));
  ASSERT_TRUE(Settle(hash, false));
  EXPECT_EQ(Get(hash).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(Files().empty());
  for (std::string name : {std::string(64, 'a'), std::string("../secret"), std::string()}) {
    EXPECT_TRUE(SetAside(name)) << name;
    EXPECT_TRUE(Settle(name, false)) << name;
  }
}

TEST_F(BlobTest, ADiskThatRefusesIsUnavailableAndLeavesNothingBehind) {
  std::ofstream(folder_) << "a file where the folder should be";
  Result<std::string> hash = Put("x");
  ASSERT_FALSE(hash);
  EXPECT_EQ(hash.error().code, ErrorCode::kUnavailable);
  fs::remove(folder_);
  EXPECT_TRUE(Put("x"));
}

}  // namespace
}  // namespace millrace::blob
