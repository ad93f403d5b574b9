// Has its arguments and environment written out of bounds, and over themselves.
#include "hostile.h"

void _start(void) {
  u32 n[2];
  MUST(args_sizes_get((u32)&n[0], (u32)&n[1]), OK);
  MUST(n[0], 2);
  MUST(n[1], 9);
  MUST(args_sizes_get(0xffffffff, 0), EFAULT);
  MUST(args_sizes_get(0, 0xfffffffd), EFAULT);
  MUST(args_get(0xfffffffc, 0x1000), EFAULT);
  MUST(args_get(0x1000, 0xffffffff), EFAULT);
  MUST(args_get(0x1000, 0x1fff8), EFAULT); // the last byte is one too far
  MUST(args_get(0x1000, 0x1000), OK);
  MUST(environ_sizes_get((u32)&n[0], (u32)&n[1]), OK);
  MUST(n[0], 1);
  MUST(n[1], 4);
  MUST(environ_get(0xfffffffc, 0x1000), EFAULT);
  MUST(environ_get(0x1000, 0xfffffffe), EFAULT);
  static char b[16];
  static u32 p[2];
  MUST(args_get((u32)p, (u32)b), OK);
  MUST(p[0], (u32)b);
  MUST(p[1], (u32)b + 6);
  MUST(b[5], 0);
  MUST(b[6], 'x');
}
