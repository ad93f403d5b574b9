// Asks for 4 GiB of random bytes, and for all of its memory.
#include "hostile.h"

void _start(void) {
  MUST(random_get(0, 0xffffffff), EFAULT);
  MUST(random_get(0xffffffff, 2), EFAULT);
  MUST(random_get(0xfffffff0, 0x20), EFAULT);
  MUST(random_get(0, 0), OK);
  static u8 a[1 << 20];
  MUST(random_get((u32)a, sizeof a), OK);
  u32 zeros = 0;
  for (u32 i = 0; i < sizeof a; i++) zeros += a[i] == 0;
  MUST(zeros < 6000, 1); // 4096 are to be expected
}
