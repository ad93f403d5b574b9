// Flag bits that do not exist, and flags that contradict each other.
#include "hostile.h"

void _start(void) {
  int fd;
  filestat st;
  u64 pos;
  MUST(path_open(ROOT, 2, "hello.txt", 9, 0, R_READ, 0, 0, &fd), EINVAL);
  MUST(path_open(ROOT, -1, "hello.txt", 9, 0, R_READ, 0, 0, &fd), EINVAL);
  MUST(path_open(ROOT, 0, "hello.txt", 9, 16, R_READ, 0, 0, &fd), EINVAL);
  MUST(path_open(ROOT, 0, "hello.txt", 9, -1, R_READ, 0, 0, &fd), EINVAL);
  MUST(path_open(ROOT, 0, "hello.txt", 9, 0, R_READ, 0, 32, &fd), EINVAL);
  MUST(path_open(ROOT, 0, "x", 1, CREAT | DIRECTORY, R_READ, 0, 0, &fd), EINVAL);
  MUST(path_open(ROOT, 0, "dir", 3, DIRECTORY, R_READ | R_WRITE, 0, 0, &fd), EISDIR);
  MUST(path_open(ROOT, 0, "dir", 3, 0, R_READ | R_WRITE, 0, 0, &fd), EISDIR);
  MUST(path_open(ROOT, 0, "dir", 3, TRUNC, R_READ, 0, 0, &fd), EISDIR);
  MUST(path_open(ROOT, 0, "hello.txt", 9, DIRECTORY, R_READ, 0, 0, &fd), ENOTDIR);
  MUST(path_open(ROOT, 0, "hello.txt", 9, 0, R_READ, 0, 0, (int *)0xfffffffe), EFAULT);
  MUST(path_open(ROOT, 0, "made", 4, CREAT, R_READ, 0, 0, (int *)0xfffffffe), EFAULT);
  MUST(stat_("made", 0, &st), ENOENT); // no file is left that nobody can close
  MUST(path_filestat_get(ROOT, 2, "hello.txt", 9, &st), EINVAL);
  MUST(path_filestat_set_times(ROOT, 0, "hello.txt", 9, 0, 0, 3), EINVAL);
  MUST(path_filestat_set_times(ROOT, 0, "hello.txt", 9, 0, 0, 12), EINVAL);
  MUST(path_filestat_set_times(ROOT, 0, "hello.txt", 9, 0, 0, 16), EINVAL);
  MUST(reading("hello.txt", &fd), OK);
  MUST(fd_seek(fd, 0, 3, &pos), EINVAL);
  MUST(fd_seek(fd, -1, 0, &pos), EINVAL);
  MUST(fd_seek(fd, 0x7fffffffffffffff, 0, &pos), OK);
  MUST(fd_seek(fd, 1, 1, &pos), EOVERFLOW);
  MUST(fd_advise(fd, 0, 0, 6), EINVAL);
  MUST(fd_advise(fd, 1ull << 63, 0, 0), EINVAL);
  MUST(fd_fdstat_set_flags(fd, 32), EINVAL);
  MUST(fd_fdstat_set_flags(fd, 0x10001), EINVAL);
  MUST(fd_seek(1, 0, 1, &pos), ESPIPE);
  MUST(fd_tell(0, &pos), ESPIPE);
  MUST(fd_seek(ROOT, 0, 1, &pos), ENOTCAPABLE);
}
