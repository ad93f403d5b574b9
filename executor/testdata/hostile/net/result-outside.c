// Has a result written behind the end of its memory.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  fields_entries(fields_new(), (void *)0xfffffff8);
  proc_exit(250);
}
