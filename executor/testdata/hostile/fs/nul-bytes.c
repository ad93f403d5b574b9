// Paths with NUL bytes, which a host that uses C strings cuts short.
#include "hostile.h"

void _start(void) {
  int fd;
  filestat st;
  MUST(path_open(ROOT, 0, "hello.txt\0x", 11, 0, R_RO, 0, 0, &fd), EINVAL);
  MUST(path_open(ROOT, 0, "\0", 1, 0, R_RO, 0, 0, &fd), EINVAL);
  MUST(path_filestat_get(ROOT, 0, "dir\0/../..", 10, &st), EINVAL);
  MUST(path_create_directory(ROOT, "a\0b", 3), EINVAL);
  MUST(path_unlink_file(ROOT, "hello.txt\0", 10), EINVAL);
  MUST(path_rename(ROOT, "hello.txt", 9, ROOT, "a\0b", 3), EINVAL);
  MUST(path_symlink("a\0b", 3, ROOT, "l", 1), EINVAL);
}
