// Asks for more randomness than any memory holds.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  random_bytes(1ull << 40, ret);
  proc_exit(250);
}
