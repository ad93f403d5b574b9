// Fills the host's memory with fields, by cloning.
#include "net.h"
static char value[64 << 10];
__attribute__((export_name("_start"))) void start(void) {
  u32 f = fields_new();
  for (u32 i = 0; i < sizeof value; i++) value[i] = 'x';
  for (int i = 0; i < 1000; i++) {
    fields_append(f, "x", 1, value, sizeof value, ret);
    fields_clone(f);
  }
  proc_exit(250);
}
