// Waits for a server that never answers until long after its deadline.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  u32 response;
  get(server(), "/hang", &response);
  proc_exit(250);
}
