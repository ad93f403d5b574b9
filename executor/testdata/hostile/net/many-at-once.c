// Opens responses and never closes one, then ends without cleaning up.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  u32 response;
  for (int i = 0; i < 100; i++) {
    int code = get(server(), "/endless", &response);
    if (code == LIMIT_REACHED && i == 4) proc_exit(0);
    MUST(code == -1);
  }
  proc_exit(250);
}
