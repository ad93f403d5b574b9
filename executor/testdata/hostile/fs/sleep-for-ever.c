// Sleeps until the end of time by the wall clock, together with a silent stdin.
#include "hostile.h"

void _start(void) {
  subscription in[2] = {0};
  event out[2];
  u32 n;
  in[0].u.clock.id = 0, in[0].u.clock.timeout = ~0ull, in[0].u.clock.flags = 1;
  in[1].tag = 1, in[1].u.fd = 0;
  say("asleep\n");
  poll_oneoff(in, out, 2, &n);
  say("awake\n");
}
