// Cookies that were never handed out, and every buffer size.
#include "hostile.h"

void _start(void) {
  static char b[4096];
  u32 n;
  MUST(fd_readdir(ROOT, b, 4096, 0xffffffffffffffff, &n), EINVAL);
  MUST(fd_readdir(ROOT, b, 4096, 0x8000000000000000, &n), EINVAL);
  MUST(fd_readdir(ROOT, b, 4096, 1, &n), EINVAL); // nothing was listed yet
  MUST(fd_readdir(ROOT, b, 4096, 0, &n), OK);
  u32 all = n;
  u64 last = 0;
  int count = 0;
  for (u32 at = 0; at < n; count++) {
    dirent *d = (dirent *)(b + at);
    last = d->next;
    at += 24 + d->namlen;
  }
  MUST(fd_readdir(ROOT, b, 4096, last + 1, &n), EINVAL);
  MUST(fd_readdir(ROOT, b, 4096, last, &n), OK);
  MUST(n, 0);
  MUST(fd_readdir(ROOT, b, 0, 0, &n), OK);
  MUST(n, 0);
  for (u32 size = 1; size < 128; size++) { // one entry at a time, cut off or not
    u64 cookie = 0;
    int seen = 0;
    for (;;) {
      MUST(fd_readdir(ROOT, b, size, cookie, &n), OK);
      if (n < size) {
        if (n) seen++;
        if (n < 24) break;
        cookie = ((dirent *)b)->next;
        if (n > 24 + ((dirent *)b)->namlen) seen += 0;
        break;
      }
      if (size < 24) break;
      cookie = ((dirent *)b)->next;
      if (++seen > 1000) fail("readdir does not end", __LINE__, seen, count);
    }
  }
  MUST(fd_readdir(ROOT, b, 4096, 0, &n), OK);
  MUST(n, all);
  MUST(fd_readdir(ROOT, (void *)0xfffffff0, 4096, 0, &n), EFAULT);
  MUST(fd_readdir(ROOT, b, 4096, 0, (u32 *)0xfffffffe), EFAULT);
  MUST(fd_readdir(1, b, 4096, 0, &n), ENOTDIR);
  int fd;
  MUST(reading("hello.txt", &fd), OK);
  MUST(fd_readdir(fd, b, 4096, 0, &n), ENOTDIR);
}
