// Reads from a stdin that never says anything.
#include "hostile.h"

void _start(void) {
  char b[16];
  iovec v = {b, 16};
  u32 n;
  MUST(fd_fdstat_set_flags(0, NONBLOCK), OK);
  MUST(fd_read(0, &v, 1, &n), EAGAIN);
  MUST(fd_fdstat_set_flags(0, 0), OK);
  say("reading\n");
  fd_read(0, &v, 1, &n);
  say("read\n");
}
