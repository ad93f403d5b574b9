// Lists a directory with more entries than it may see.
#include "hostile.h"

void _start(void) {
  static char b[65536];
  u32 n;
  int e = 0, got = 0;
  u64 cookie = 0;
  char p[] = "f00";
  for (int i = 0; i < 80; i++) {
    int fd;
    p[1] = 'a' + i / 26, p[2] = 'a' + i % 26;
    MUST(creating(p, &fd), OK);
    fd_close(fd);
  }
  for (;;) {
    if ((e = fd_readdir(ROOT, b, 512, cookie, &n)) || n < 24) break;
    for (u32 at = 0; at + 24 <= n;) {
      dirent *d = (dirent *)(b + at);
      if (at + 24 + d->namlen > n) break;
      cookie = d->next, got++;
      at += 24 + d->namlen;
    }
    if (got > 1000) break;
  }
  MUST(e, EOVERFLOW);
  MUST(got, 64 + 2);
}
