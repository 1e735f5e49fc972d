/* generate.c - A plan inside a C program: load, prefill, decode, print.
 *
 *   example-embed shakespeare.plan "ROMEO:" 60
 */
#include "llmc/llmc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOKENS 4096

static int fail(const llmc_session *session) {
  fprintf(stderr, "example-embed: %s\n", llmc_last_error(session));
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: %s PLAN PROMPT TOKENS\n", argv[0]);
    return 2;
  }
  llmc_session *session = NULL;
  if (llmc_load(argv[1], NULL, &session) != 0) {
    return fail(NULL);
  }
  llmc_plan_info info = {.struct_size = sizeof info};
  llmc_get_plan_info(session, &info);
  fprintf(stderr, "%s: %llu bytes of device memory, %lld tokens of context\n",
          info.model_name, (unsigned long long)info.device_bytes,
          (long long)info.context);

  int64_t tokens[MAX_TOKENS];
  size_t count = 0;
  if (llmc_encode(session, argv[2], strlen(argv[2]), 1, tokens, MAX_TOKENS,
                  &count) != 0) {
    return fail(session);
  }
  const float *logits = NULL;
  if (llmc_prefill(session, tokens, count, &logits) != 0) {
    return fail(session);
  }
  int64_t made[MAX_TOKENS];
  size_t wanted = strtoul(argv[3], NULL, 10), size = 0;
  while (size < wanted && size < MAX_TOKENS) {
    made[size] = llmc_argmax(logits, info.vocabulary);
    int is_end = 0;
    for (uint64_t i = 0; i < info.num_eos_tokens; ++i) {
      is_end |= made[size] == info.eos_tokens[i];
    }
    if (is_end || llmc_past(session) >= info.context) {
      break;
    }
    if (llmc_decode(session, made[size++], &logits) != 0) {
      return fail(session);
    }
  }
  char text[16 * MAX_TOKENS];
  size_t bytes = 0;
  if (llmc_decode_text(session, made, size, text, sizeof text, &bytes) != 0) {
    return fail(session);
  }
  printf("%.*s\n", (int)bytes, text);
  llmc_free(session);
  return 0;
}
