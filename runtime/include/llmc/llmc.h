/*===- llmc.h - The C interface of the runtime --------------------*- C -*-===*\
|*                                                                            *|
|* Part of llmc, under the Apache License v2.0. See LICENSE for details.      *|
|* SPDX-License-Identifier: Apache-2.0                                        *|
|*                                                                            *|
|*===----------------------------------------------------------------------===*|
|*                                                                            *|
|*   llmc_session *session = NULL;                                            *|
|*   if (llmc_load("model.plan", NULL, &session) != 0) {                      *|
|*     fprintf(stderr, "%s\n", llmc_last_error(NULL));                        *|
|*     return 1;                                                              *|
|*   }                                                                        *|
|*   const float *logits = NULL;                                              *|
|*   llmc_prefill(session, tokens, count, &logits);                           *|
|*   while (...) { llmc_decode(session, llmc_argmax(...), &logits); }         *|
|*   llmc_free(session);                                                      *|
|*                                                                            *|
|* Functions that can fail return 0 or an error code (llmc::ErrorCode in      *|
|* runtime/support/Result.h: 1xx arguments and files, 2xx plan and weights,   *|
|* 3xx execution, 4xx tokenizer). A session serves one thread at a time;      *|
|* different sessions are independent. After llmc_load, prefill and decode    *|
|* allocate no memory unless they fail.                                       *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef LLMC_LLMC_H
#define LLMC_LLMC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when functions or fields are added; nothing is ever removed. */
#define LLMC_API_VERSION 1

/* The version that the library was built with. */
uint32_t llmc_api_version(void);

typedef struct llmc_session llmc_session;

typedef struct llmc_options {
  uint32_t struct_size;     /* sizeof(llmc_options) */
  int32_t threads;          /* 0: all cores */
  const char *weights_path; /* NULL: where the plan says */
  int32_t skip_checksum;    /* not 0: do not compare weights with checksums */
} llmc_options;

/* Loads a plan, proves it and takes all memory. `options` may be NULL. On
 * failure *session is NULL and llmc_last_error(NULL) tells why. */
int32_t llmc_load(const char *plan_path, const llmc_options *options,
                  llmc_session **session);

/* Frees a session; NULL is allowed. */
void llmc_free(llmc_session *session);

/* Feeds `count` >= 1 tokens. *logits is set to `vocabulary` floats for the last
 * of them, which stay valid until the next call with this session. */
int32_t llmc_prefill(llmc_session *session, const int64_t *tokens, size_t count,
                     const float **logits);

/* Feeds one token. */
int32_t llmc_decode(llmc_session *session, int64_t token, const float **logits);

/* Empties the state. */
int32_t llmc_reset(llmc_session *session);

/* Tokens in the state. */
int64_t llmc_past(const llmc_session *session);

/* The index of the largest logit, the lowest among equals. */
int64_t llmc_argmax(const float *logits, int64_t vocabulary);

/* One line on the last failure of this session; with NULL on the last failed
 * llmc_load of this thread. Never NULL; empty if nothing failed. Valid until
 * the next failure. */
const char *llmc_last_error(const llmc_session *session);

/* Writes the token ids of `text` (UTF-8, `bytes` long) to `tokens` and their
 * number to *count. If `capacity` is too small nothing is written and *count
 * tells what is needed; that is an error. `add_special`: begin and end tokens
 * where the tokenizer's own files say so. */
int32_t llmc_encode(llmc_session *session, const char *text, size_t bytes,
                    int32_t add_special, int64_t *tokens, size_t capacity,
                    size_t *count);

/* Writes the text of `count` tokens, not zero-terminated, and its length in
 * bytes; `capacity` as above. */
int32_t llmc_decode_text(llmc_session *session, const int64_t *tokens,
                         size_t count, char *text, size_t capacity,
                         size_t *bytes);

typedef struct llmc_plan_info {
  uint32_t struct_size;   /* set by the caller: sizeof(llmc_plan_info) */
  uint32_t has_tokenizer; /* 0 or 1 */
  int64_t context;        /* tokens that the state holds */
  int64_t vocabulary;     /* floats in a row of logits */
  int64_t bos_token;      /* -1: none */
  uint64_t num_eos_tokens;
  const int64_t *eos_tokens; /* valid as long as the session */
  uint64_t device_bytes;
  uint64_t arena_bytes;
  uint64_t weights_bytes;
  const char *model_name; /* these three are valid as long as the session */
  const char *target;
  const char *arch;
} llmc_plan_info;

/* Fills in as much of `info` as its struct_size has room for. */
int32_t llmc_get_plan_info(const llmc_session *session, llmc_plan_info *info);

#ifdef __cplusplus
}
#endif

#endif /* LLMC_LLMC_H */
