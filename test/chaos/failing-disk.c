/*
 * A disk that fails on demand: an LD_PRELOAD library in front of the calls with which a process reads and writes files, SQLite's among them.
 *
 * FAILING_DISK_DIRECTORY names the directory whose files fail. FAILING_DISK_CONTROL names a file of controlBytes bytes outside of it, which is
 * mapped: a change of it takes effect at the next call. It has one rule a line, and ends at its first zero byte:
 *
 *   <call> <errno> [<share>] [<end>]        such as `fsync EIO`, `pwrite ENOSPC 0.5`, `fsync EIO 1 -wal`
 *
 * <call> is pwrite, write, fsync, ftruncate or create (an open for writing), or * for all of these, or pread; fdatasync counts as fsync, fallocate
 * as ftruncate. What is read through a mapping is not a call. <share> is how many of the calls fail, from 0 to 1. <end> is how the name of the file has to end.
 * Bun's own `fs` functions make some system calls without libc; those do not pass through here.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

enum { controlBytes = 4096 };

static const volatile char *control;
static const char *directory;
static atomic_uint drawn = 1;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAILING_DISK_CONTROL");
  directory = getenv("FAILING_DISK_DIRECTORY");
  if (path == NULL || directory == NULL) return;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  void *mapped = mmap(NULL, controlBytes, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (mapped != MAP_FAILED) control = mapped;
}

static int errnoOf(const char *name) {
  static const struct {
    const char *name;
    int number;
  } known[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EROFS", EROFS}, {"EDQUOT", EDQUOT}, {"EMFILE", EMFILE}, {"EACCES", EACCES}};
  for (size_t index = 0; index < sizeof known / sizeof *known; index++)
    if (strcmp(name, known[index].name) == 0) return known[index].number;
  return 0;
}

static int draws(double share) {
  if (share >= 1) return 1;
  unsigned number = atomic_fetch_add(&drawn, 1) * 2654435769u;
  number ^= number >> 15;
  number *= 0x2c1b3c6du;
  number ^= number >> 13;
  return number / 4294967296.0 < share;
}

static int isWithin(const char *path) {
  size_t length = strlen(directory);
  return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static int endsWith(const char *path, const char *end) {
  size_t length = strlen(path), tail = strlen(end);
  return length >= tail && strcmp(path + length - tail, end) == 0;
}

/* The number of the error that this call fails with, or 0. */
static int failureFor(const char *call, const char *path) {
  char rules[controlBytes], *rest = rules;
  for (size_t index = 0; index < controlBytes; index++) rules[index] = control[index];
  rules[controlBytes - 1] = 0;
  if (!isWithin(path)) return 0;
  for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
    char wanted[16], name[16], end[64] = "";
    double share = 1;
    if (sscanf(line, "%15s %15s %lf %63s", wanted, name, &share, end) < 2) continue;
    int isAll = strcmp(wanted, "*") == 0 && strcmp(call, "pread") != 0;
    if (strcmp(wanted, call) != 0 && !isAll) continue;
    if (endsWith(path, end) && draws(share)) return errnoOf(name);
  }
  return 0;
}

static int isQuiet(void) { return control == NULL || control[0] == 0; }

static int failureOf(const char *call, int file) {
  if (isQuiet()) return 0;
  char link[32], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  int before = errno;
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = before;
  if (length <= 0) return 0;
  path[length] = 0;
  return failureFor(call, path);
}

#define REAL(name) \
  static typeof(&name) real; \
  if (real == NULL) real = (typeof(&name))dlsym(RTLD_NEXT, #name)

#define FAIL_AS(call, file) \
  do { \
    int failure = failureOf(call, file); \
    if (failure != 0) return errno = failure, -1; \
  } while (0)

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
  REAL(pwrite);
  FAIL_AS("pwrite", file);
  return real(file, bytes, count, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
  REAL(pwrite64);
  FAIL_AS("pwrite", file);
  return real(file, bytes, count, at);
}

ssize_t pread(int file, void *bytes, size_t count, off_t at) {
  REAL(pread);
  FAIL_AS("pread", file);
  return real(file, bytes, count, at);
}

ssize_t pread64(int file, void *bytes, size_t count, off64_t at) {
  REAL(pread64);
  FAIL_AS("pread", file);
  return real(file, bytes, count, at);
}

ssize_t write(int file, const void *bytes, size_t count) {
  REAL(write);
  FAIL_AS("write", file);
  return real(file, bytes, count);
}

int fsync(int file) {
  REAL(fsync);
  FAIL_AS("fsync", file);
  return real(file);
}

int fdatasync(int file) {
  REAL(fdatasync);
  FAIL_AS("fsync", file);
  return real(file);
}

int ftruncate(int file, off_t length) {
  REAL(ftruncate);
  FAIL_AS("ftruncate", file);
  return real(file, length);
}

int ftruncate64(int file, off64_t length) {
  REAL(ftruncate64);
  FAIL_AS("ftruncate", file);
  return real(file, length);
}

int fallocate(int file, int mode, off_t at, off_t length) {
  REAL(fallocate);
  FAIL_AS("ftruncate", file);
  return real(file, mode, at, length);
}

/* SQLite opens files by their absolute path. */
static int failureToOpen(const char *path, int flags) {
  if (isQuiet() || path[0] != '/' || (flags & O_ACCMODE) == O_RDONLY) return 0;
  return failureFor("create", path);
}

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0; \
    va_end(rest); \
    int failure = failureToOpen(path, flags); \
    if (failure != 0) return errno = failure, -1; \
    return real(path, flags, mode); \
  }

OPEN(open)
OPEN(open64)
