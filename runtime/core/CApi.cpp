//===- CApi.cpp - llmc.h over Session -------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/include/llmc/llmc.h"

#include "runtime/core/Sampler.h"
#include "runtime/core/Session.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>

using namespace llmc;

struct llmc_session {
  std::unique_ptr<Session> session;
  std::optional<tokenizer::Tokenizer> tokenizer;
  std::string lastError;
};

static thread_local std::string loadError;

static int32_t failed(llmc_session *session, const Error &error) {
  session->lastError = error.message;
  return static_cast<int32_t>(error.code);
}

/// What the runtime itself does not catch (an allocation in a message, say)
/// must not cross into C.
template <class Body> static int32_t guarded(const Body &body) {
  try {
    return body();
  } catch (const std::bad_alloc &) {
    return static_cast<int32_t>(ErrorCode::OutOfMemory);
  } catch (...) {
    return static_cast<int32_t>(ErrorCode::Internal);
  }
}

extern "C" uint32_t llmc_api_version(void) { return LLMC_API_VERSION; }

extern "C" int32_t llmc_load(const char *planPath, const llmc_options *options,
                             llmc_session **session) {
  return guarded([&]() -> int32_t {
    if (!planPath || !session) {
      loadError = "llmc_load: plan_path and session must not be NULL";
      return static_cast<int32_t>(ErrorCode::InvalidArgument);
    }
    *session = nullptr;
    SessionOptions wanted;
    if (options) {
      llmc_options known{};
      std::memcpy(&known, options,
                  std::min<size_t>(options->struct_size, sizeof(known)));
      wanted.threads = known.threads;
      wanted.weightsPath = known.weights_path ? known.weights_path : "";
      wanted.checksum = known.skip_checksum == 0;
    }
    auto made = std::make_unique<llmc_session>();
    auto loaded = Session::load(planPath, wanted);
    if (!loaded) {
      loadError = loaded.error().message;
      return static_cast<int32_t>(loaded.error().code);
    }
    made->session = std::move(*loaded);
    if (!made->session->plan().tokenizer.empty()) {
      auto decoded =
          tokenizer::Tokenizer::deserialize(made->session->plan().tokenizer);
      if (!decoded) {
        loadError = decoded.error().message;
        return static_cast<int32_t>(decoded.error().code);
      }
      made->tokenizer = std::move(*decoded);
    }
    *session = made.release();
    return 0;
  });
}

extern "C" void llmc_free(llmc_session *session) { delete session; }

extern "C" int32_t llmc_prefill(llmc_session *session, const int64_t *tokens,
                                size_t count, const float **logits) {
  return guarded([&]() -> int32_t {
    Result<std::span<const float>> row =
        session->session->prefill({tokens, count});
    if (!row) {
      return failed(session, row.error());
    }
    if (logits) {
      *logits = row->data();
    }
    return 0;
  });
}

extern "C" int32_t llmc_decode(llmc_session *session, int64_t token,
                               const float **logits) {
  return guarded([&]() -> int32_t {
    Result<std::span<const float>> row = session->session->decode(token);
    if (!row) {
      return failed(session, row.error());
    }
    if (logits) {
      *logits = row->data();
    }
    return 0;
  });
}

extern "C" int32_t llmc_reset(llmc_session *session) {
  session->session->reset();
  return 0;
}

extern "C" int64_t llmc_past(const llmc_session *session) {
  return session->session->past();
}

extern "C" int64_t llmc_argmax(const float *logits, int64_t vocabulary) {
  return argmax({logits, static_cast<size_t>(vocabulary)});
}

extern "C" const char *llmc_last_error(const llmc_session *session) {
  return session ? session->lastError.c_str() : loadError.c_str();
}

static Error noTokenizer() {
  return {ErrorCode::TokenizerInput,
          "the plan has no tokenizer; compile the model with --tokenizer FILE"};
}

static Error tooSmall(size_t capacity, size_t needed, const char *what) {
  return {ErrorCode::InvalidArgument,
          "room for " + std::to_string(capacity) + " " + what + ", " +
              std::to_string(needed) + " are needed"};
}

extern "C" int32_t llmc_encode(llmc_session *session, const char *text,
                               size_t bytes, int32_t addSpecial,
                               int64_t *tokens, size_t capacity,
                               size_t *count) {
  return guarded([&]() -> int32_t {
    if (!session->tokenizer) {
      return failed(session, noTokenizer());
    }
    const std::vector<int32_t> ids =
        session->tokenizer->encode({text, bytes}, addSpecial != 0);
    *count = ids.size();
    if (ids.size() > capacity) {
      return failed(session, tooSmall(capacity, ids.size(), "tokens"));
    }
    std::copy(ids.begin(), ids.end(), tokens);
    return 0;
  });
}

extern "C" int32_t llmc_decode_text(llmc_session *session,
                                    const int64_t *tokens, size_t count,
                                    char *text, size_t capacity,
                                    size_t *bytes) {
  return guarded([&]() -> int32_t {
    if (!session->tokenizer) {
      return failed(session, noTokenizer());
    }
    std::vector<int32_t> ids(count);
    for (size_t i = 0; i < count; ++i) {
      const bool fits = tokens[i] >= 0 && tokens[i] <= INT32_MAX;
      ids[i] = fits ? static_cast<int32_t>(tokens[i]) : tokenizer::kNoToken;
    }
    const std::string decoded = session->tokenizer->decode(ids);
    *bytes = decoded.size();
    if (decoded.size() > capacity) {
      return failed(session, tooSmall(capacity, decoded.size(), "bytes"));
    }
    std::copy(decoded.begin(), decoded.end(), text);
    return 0;
  });
}

extern "C" int32_t llmc_get_plan_info(const llmc_session *session,
                                      llmc_plan_info *info) {
  const plan::Plan &plan = session->session->plan();
  llmc_plan_info full{};
  full.struct_size = info->struct_size;
  full.has_tokenizer = session->tokenizer ? 1 : 0;
  full.context = plan.context;
  full.vocabulary = session->session->vocabulary();
  full.bos_token = plan.bosToken;
  full.num_eos_tokens = plan.eosTokens.size();
  full.eos_tokens = plan.eosTokens.data();
  full.device_bytes = plan.totals.deviceBytes;
  full.arena_bytes = plan.totals.arenaBytes;
  full.weights_bytes = plan.totals.weightsBytes;
  full.model_name = plan.modelName.c_str();
  full.target = plan.target.c_str();
  full.arch = plan.arch.c_str();
  std::memcpy(info, &full, std::min<size_t>(info->struct_size, sizeof(full)));
  return 0;
}
