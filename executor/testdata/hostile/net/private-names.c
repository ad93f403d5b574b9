// Uses names that lead to loopback without any name server.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  static const char *all[] = {"localhost", "LOCALHOST.", "a.b.localhost", "localhost:22"};
  u32 response;
  for (u32 i = 0; i < sizeof all / sizeof *all; i++) MUST(get(all[i], "/", &response) == IP_PROHIBITED);
  proc_exit(0);
}
