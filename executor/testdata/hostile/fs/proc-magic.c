// Links to and of /proc, whose magic links jump anywhere, staged with the inputs.
#include "hostile.h"

void _start(void) {
  EVERYTHING("proc-root/etc/hostname", EPERM);
  EVERYTHING("proc-cwd", EPERM);
  EVERYTHING("proc-fd/0", EPERM);
  EVERYTHING("proc-exe", EPERM);
}
