// Writes until the disk quota stops it. Starting over in place does not help.
#include "hostile.h"

void _start(void) {
  static char b[65536];
  int fd, e = 0;
  u64 total = 0, pos;
  u32 n;
  iovec v = {b, 65536};
  MUST(creating("big", &fd), OK);
  while (!(e = fd_write(fd, &v, 1, &n))) {
    total += n;
    if (total > 10 << 20) break;
  }
  MUST(e, ENOSPC);
  MUST(total, 1 << 20);
  MUST(fd_seek(fd, 0, 0, &pos), OK);
  MUST(fd_write(fd, &v, 1, &n), ENOSPC);
  MUST(fd_filestat_set_size(fd, 0), OK);
  MUST(fd_write(fd, &v, 1, &n), ENOSPC);
  MUST(unlink_("big"), OK);
  MUST(creating("big2", &fd), OK);
  MUST(fd_write(fd, &v, 1, &n), ENOSPC);
  MUST(symlink_("a", "l"), ENOSPC); // what a link holds counts too
}
