// Follows a redirect that leads to itself for ever.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  u32 response;
  for (int hops = 0; hops < 50; hops++) {
    int code = get(server(), "/redirect-loop", &response);
    if (code == LOOP) proc_exit(0);
    MUST(code == -1 && response_status(response) == 302);
    response_drop(response);
  }
  proc_exit(250);
}
