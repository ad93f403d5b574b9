// Exits with a code no process of the host could have.
#include "hostile.h"

void _start(void) {
  proc_exit(0xfffffff0);
}
