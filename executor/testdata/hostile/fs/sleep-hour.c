// Sleeps for an hour; the deadline has to wake it.
#include "hostile.h"

void _start(void) {
  subscription in = {0};
  event out;
  u32 n;
  in.u.clock.id = 1, in.u.clock.timeout = 3600ull * 1000000000;
  say("asleep\n");
  poll_oneoff(&in, &out, 1, &n);
  say("awake\n");
}
