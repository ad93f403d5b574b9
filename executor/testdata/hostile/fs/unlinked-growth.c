// Removes files and keeps writing to them, where no count of the tree sees it.
#include "hostile.h"

void _start(void) {
  static char b[65536];
  iovec v = {b, 65536};
  u64 total = 0;
  for (int i = 0; i < 40; i++) {
    int fd;
    u32 n;
    MUST(creating("f", &fd), OK);
    MUST(unlink_("f"), OK);
    int e = fd_write(fd, &v, 1, &n);
    if (e) {
      MUST(e, ENOSPC);
      MUST(total, 1 << 20);
      return;
    }
    total += n;
    if (i % 2) fd_close(fd);
  }
  MUST(total, 1 << 20);
}
