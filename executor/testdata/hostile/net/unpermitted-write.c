// Writes more to a body than it asked for.
#include "net.h"
static char big[1 << 20];
__attribute__((export_name("_start"))) void start(void) {
  u32 r = request("a.example", "/");
  request_body(r, ret);
  body_write(r32(4), ret);
  u32 stream = r32(4);
  check_write(stream, ret);
  stream_write(stream, big, sizeof big, ret);
  proc_exit(250);
}
