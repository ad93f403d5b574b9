// Fetches a body that is a thousand times larger unpacked. It must come as it was sent.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  u32 response;
  u64 n;
  MUST(get(server(), "/gzip", &response) == -1);
  MUST(read_all(response, &n) == -1);
  MUST(n < 20000);
  proc_exit(0);
}
