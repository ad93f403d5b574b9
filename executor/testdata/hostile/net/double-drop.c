// Drops a handle twice.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  u32 f = fields_new();
  fields_drop(f);
  fields_drop(f);
  proc_exit(250);
}
