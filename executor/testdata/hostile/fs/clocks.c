// Asks for clocks that do not exist, and for finer time than there is.
#include "hostile.h"

void _start(void) {
  u64 t, u;
  MUST(clock_res_get(0, &t), OK);
  MUST(t >= 1000, 1);
  MUST(clock_res_get(1, &t), OK);
  MUST(t >= 1000, 1);
  MUST(clock_res_get(2, &t), OK);
  MUST(clock_res_get(99, &t), EINVAL);
  MUST(clock_time_get(0, 0, &t), OK);
  MUST(t % 1000, 0);
  MUST(clock_time_get(1, 0, &t), OK);
  MUST(t % 1000, 0);
  MUST(clock_time_get(1, ~0ull, &u), OK);
  MUST(u >= t, 1);
  MUST(clock_time_get(2, 0, &t), OK); // of this guest, not of the host
  MUST(t < 600000000000, 1);
  MUST(clock_time_get(3, 0, &t), OK);
  MUST(clock_time_get(4, 0, &t), EINVAL);
  MUST(clock_time_get(0xffffffff, 0, &t), EINVAL);
  MUST(clock_time_get(0, 0, (u64 *)0xfffffffc), EFAULT);
}
