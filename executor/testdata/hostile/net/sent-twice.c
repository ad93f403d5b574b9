// Sends a request that it has given away already.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  u32 r = request(server(), "/open"), future;
  send(r, &future);
  send(r, &future);
  proc_exit(250);
}
