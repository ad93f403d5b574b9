// Reads a body that never ends. The job's bytes end it.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  u32 response;
  u64 n;
  MUST(get(server(), "/endless", &response) == -1);
  MUST(read_all(response, &n) == RESPONSE_BODY_SIZE);
  MUST(n > 0 && n <= 1 << 20);
  proc_exit(0);
}
