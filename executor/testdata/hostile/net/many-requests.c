// Makes requests without end. The job's number of them ends it.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  u32 response;
  u64 n;
  for (int i = 0; i < 1000; i++) {
    int code = get(server(), "/open", &response);
    if (code == DENIED && i == 20) proc_exit(0);
    MUST(code == -1 && read_all(response, &n) == -1);
  }
  proc_exit(250);
}
