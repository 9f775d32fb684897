/* A disk that fails: preloaded into a node, it makes writes and syncs of files fail while the file named by FAILING_DISK says so. That file holds
 * words: `write`, `sync`, and the errno's name, EIO, ENOSPC or EROFS. Only files below the directory FAILING_DISK_UNDER are affected. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/syscall.h>

static int failure(int fd, const char *what) {
  const char *control = getenv("FAILING_DISK"), *under = getenv("FAILING_DISK_UNDER");
  char link[64], path[4096], text[256];
  if (!control || !under) return 0;
  int saved = errno;
  int file = syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
  if (file < 0) { errno = saved; return 0; }
  ssize_t length = syscall(SYS_read, file, text, sizeof text - 1);
  syscall(SYS_close, file);
  errno = saved;
  if (length <= 0) return 0;
  text[length] = 0;
  if (!strstr(text, what)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  length = readlink(link, path, sizeof path - 1);
  errno = saved;
  if (length <= 0) return 0;
  path[length] = 0;
  if (strncmp(path, under, strlen(under)) != 0) return 0;
  return strstr(text, "ENOSPC") ? ENOSPC : strstr(text, "EROFS") ? EROFS : EIO;
}

#define FAIL(fd, what) do { int error = failure(fd, what); if (error) { errno = error; return -1; } } while (0)

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
  FAIL(fd, "write");
  return ((ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(fd, bytes, length, at);
}

int fsync(int fd) {
  FAIL(fd, "sync");
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
  FAIL(fd, "sync");
  return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
