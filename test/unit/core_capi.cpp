//===- core_capi.cpp - The C interface ------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "core_plans.h"

#include "runtime/include/llmc/llmc.h"

using namespace llmc::test;

TEST(CoreCApi, LoadPrefillDecode) {
  TemporaryFolder folder;
  const std::string path = writeModel(folder);
  llmc_options options{};
  options.struct_size = sizeof(options);
  options.threads = 1;
  llmc_session *session = nullptr;
  ASSERT_EQ(llmc_load(path.c_str(), &options, &session), 0)
      << llmc_last_error(nullptr);
  llmc_plan_info info{};
  info.struct_size = sizeof(info);
  ASSERT_EQ(llmc_get_plan_info(session, &info), 0);
  EXPECT_EQ(info.context, kContext);
  EXPECT_EQ(info.vocabulary, kVocabulary);
  EXPECT_EQ(info.has_tokenizer, 0u);
  EXPECT_STREQ(info.model_name, "m");

  const int64_t tokens[] = {4, 5, 6};
  const float *logits = nullptr;
  ASSERT_EQ(llmc_prefill(session, tokens, 3, &logits), 0);
  std::vector<float> expected = expectedLogits({4, 5, 6});
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), logits));
  const int64_t next = llmc_argmax(logits, info.vocabulary);
  EXPECT_EQ(next, std::max_element(expected.begin(), expected.end()) -
                      expected.begin());
  ASSERT_EQ(llmc_decode(session, next, &logits), 0);
  expected = expectedLogits({4, 5, 6, next});
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), logits));
  EXPECT_EQ(llmc_past(session), 4);
  EXPECT_EQ(llmc_reset(session), 0);
  EXPECT_EQ(llmc_past(session), 0);

  EXPECT_STREQ(llmc_last_error(session), "");
  EXPECT_EQ(llmc_decode(session, kVocabulary, &logits), 305);
  EXPECT_NE(std::string(llmc_last_error(session)).find("vocabulary"),
            std::string::npos);
  size_t count = 0;
  EXPECT_EQ(llmc_encode(session, "a", 1, 1, nullptr, 0, &count), 403);
  llmc_free(session);
  llmc_free(nullptr);
}

TEST(CoreCApi, LoadErrors) {
  llmc_session *session = nullptr;
  EXPECT_EQ(llmc_load("/nonexistent.plan", nullptr, &session), 100);
  EXPECT_EQ(session, nullptr);
  EXPECT_NE(std::string(llmc_last_error(nullptr)).find("/nonexistent.plan"),
            std::string::npos);
  EXPECT_EQ(llmc_load(nullptr, nullptr, &session), 106);
  EXPECT_EQ(llmc_api_version(), uint32_t(LLMC_API_VERSION));
}
