// Drops a request under its headers and then reads them.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  u32 r = request("a.example", "/");
  u32 f = request_headers(r);
  request_drop(r);
  fields_entries(f, ret);
  proc_exit(250);
}
