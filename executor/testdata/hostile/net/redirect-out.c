// Follows a server's redirect to where the job may not go.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  u32 response;
  MUST(get(server(), "/redirect-out", &response) == -1);
  MUST(response_status(response) == 302);
  response_drop(response);
  MUST(get("denied.example", "/latest/meta-data/", &response) == DENIED);
  proc_exit(0);
}
