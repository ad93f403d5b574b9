// Sends a body that never ends. The job's bytes end it.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  u32 r = request(server(), "/discard"), future;
  set_method(r, 2, 0, 0);
  request_body(r, ret);
  u32 body = r32(4);
  body_write(body, ret);
  u32 stream = r32(4);
  MUST(send(r, &future) == -1);
  for (u64 sent = 0; sent < 1ull << 32; sent += 4096) {
    write_zeroes(stream, 4096, ret);
    if (*r8(0)) proc_exit(sent <= 2 << 20 ? 0 : 1);
  }
  proc_exit(250);
}
