// Sleeps on a clock until long after its deadline.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  pollable_block(subscribe_duration(~0ull));
  proc_exit(250);
}
