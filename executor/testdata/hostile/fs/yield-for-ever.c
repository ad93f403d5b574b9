// Spins on a host call that does nothing.
#include "hostile.h"

void _start(void) {
  say("spinning\n");
  for (;;) sched_yield();
}
