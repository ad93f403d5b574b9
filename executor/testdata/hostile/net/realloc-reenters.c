// Calls the host from inside cabi_realloc, over and over.
#define OWN_REALLOC
#include "net.h"
static u64 other[8];
__attribute__((export_name("cabi_realloc"))) u32 cabi_realloc(u32 old, u32 old_size, u32 align, u32 size) {
  random_bytes(64, other);
  return 1024;
}
__attribute__((export_name("_start"))) void start(void) {
  random_bytes(64, ret);
  proc_exit(250);
}
