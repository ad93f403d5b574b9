// Raises signals that would end the host's process.
#include "hostile.h"

void _start(void) {
  for (int sig = 0; sig < 64; sig++) MUST(proc_raise(sig), ENOTSUP);
  MUST(proc_raise(-1), ENOTSUP);
}
