// Spells a blocked path in the ways in which a server may read it.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  static const char *all[] = {
    "/admin", "/admin/x", "/administrator", "/%61dmin", "/%2561dmin", "/%252561dmin", "//admin", "/./admin", "/x/../admin", "/%2e/admin", "/x/%2e%2e/admin",
    "/\\admin", "/%5cadmin", "/%2fadmin", "/admin?x", "/admin/../open", "/.//admin", "/../admin", "/%2525252525252525252561dmin",
  };
  u32 response;
  u64 n;
  for (u32 i = 0; i < sizeof all / sizeof *all; i++) MUST(get(server(), all[i], &response) == DENIED);
  MUST(get(server(), "/open?to=/admin", &response) == -1);
  MUST(read_all(response, &n) == -1 && n == 2);
  proc_exit(0);
}
