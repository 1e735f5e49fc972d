//===- fault_reads.c - Reads of weights that fail, dawdle or stop short ---===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A library for LD_PRELOAD that stands between a process and pread, for files
// named *.weights (faults.py builds and uses it). Environment:
//
//   FAULT_NTH=N    the Nth such read (from 1) fails with EIO, and says so by
//                  creating the file FAULT_HIT
//   FAULT_SEED=S   reads are interrupted, short or late at random
//   FAULT_SLOW=N   every read is N microseconds late
//
//===----------------------------------------------------------------------===//

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef ssize_t (*Pread)(int, void *, size_t, off_t);

static atomic_uint_fast64_t reads;

static uint64_t setting(const char *name) {
  const char *value = getenv(name);
  return value ? strtoull(value, NULL, 10) : 0;
}

static int isWeights(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof(path) - 1);
  if (length < 8) {
    return 0;
  }
  path[length] = 0;
  return strcmp(path + length - 8, ".weights") == 0;
}

// SplitMix64: the same faults for the same read and seed.
static uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

static ssize_t faulty(int fd, void *target, size_t bytes, off_t offset) {
  static _Atomic(Pread) real;
  Pread call = atomic_load(&real);
  if (!call) {
    call = (Pread)dlsym(RTLD_NEXT, "pread64");
    atomic_store(&real, call);
  }
  if (!isWeights(fd)) {
    return call(fd, target, bytes, offset);
  }
  const uint64_t n = 1 + atomic_fetch_add(&reads, 1);
  if (n == setting("FAULT_NTH")) {
    const char *hit = getenv("FAULT_HIT");
    if (hit) {
      close(open(hit, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    }
    errno = EIO;
    return -1;
  }
  if (setting("FAULT_SLOW")) {
    usleep((useconds_t)setting("FAULT_SLOW"));
  }
  if (getenv("FAULT_SEED")) {
    const uint64_t r = mixed(setting("FAULT_SEED") ^ mixed(n));
    // A direct read ends on a block's border, or is not to be asked for.
    const uint64_t block = fcntl(fd, F_GETFL) & O_DIRECT ? 4096 : 1;
    switch (r % 4) {
    case 0:
      errno = EINTR;
      return -1;
    case 1:
      if (bytes > block) {
        bytes -= (r >> 8) % (bytes / block) * block;
      }
      break;
    case 2:
      usleep((useconds_t)((r >> 8) % 500));
      break;
    default:
      break;
    }
  }
  return call(fd, target, bytes, offset);
}

ssize_t pread(int fd, void *target, size_t bytes, off_t offset) {
  return faulty(fd, target, bytes, offset);
}

ssize_t pread64(int fd, void *target, size_t bytes, off_t offset) {
  return faulty(fd, target, bytes, offset);
}
