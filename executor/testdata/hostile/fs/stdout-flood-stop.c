// Writes to a stdout that ends the guest when it is full.
#include "hostile.h"

void _start(void) {
  static char b[65536];
  iovec v = {b, 65536};
  u32 n;
  for (;;) fd_write(1, &v, 1, &n);
}
