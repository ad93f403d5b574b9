// Uses fields as a response.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  response_status(fields_new());
  proc_exit(250);
}
