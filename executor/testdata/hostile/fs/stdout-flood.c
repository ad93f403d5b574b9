// Writes to stdout until it is told to stop, and goes on regardless.
#include "hostile.h"

void _start(void) {
  static char b[65536];
  iovec v = {b, 65536};
  u32 n;
  int e, k = 0;
  for (u32 i = 0; i < sizeof b; i++) b[i] = 'x';
  while (!(e = fd_write(1, &v, 1, &n)))
    if (++k > 1000) proc_exit(2);
  MUST(e, EFBIG);
  for (int i = 0; i < 1000; i++) MUST(fd_write(1, &v, 1, &n), EFBIG);
}
