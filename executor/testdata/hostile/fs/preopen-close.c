// Closes what it was started with, and looks for what takes the numbers.
#include "hostile.h"

void _start(void) {
  int fd, d;
  filestat st;
  MUST(open_(ROOT, ".", 0, DIRECTORY, R_ALL & ~R_WRITE, &d), OK);
  MUST(fd_close(ROOT), OK);
  MUST(fd_close(ROOT), EBADF);
  MUST(reading("hello.txt", &fd), EBADF);
  MUST(path_open(d, 0, "hello.txt", 9, 0, R_RO, 0, 0, &fd), OK);
  MUST(fd, ROOT); // a file now
  MUST(fd_prestat_get(ROOT, (u32 *)0x1000), EBADF);
  MUST(reading("hello.txt", &fd), ENOTDIR);
  MUST(fd_renumber(d, ROOT), OK);
  MUST(fd_filestat_get(d, &st), EBADF);
  MUST(stat_("hello.txt", 0, &st), OK);
  MUST(stat_("../outside/canary", 0, &st), EPERM);
  for (int i = 0; i < 3; i++) fd_close(i);
  MUST(fd_renumber(ROOT, 0), EBADF); // the target must be open
}
