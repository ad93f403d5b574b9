// Answers cabi_realloc with an address that it does not have.
#define OWN_REALLOC
#include "net.h"
__attribute__((export_name("cabi_realloc"))) u32 cabi_realloc(u32 old, u32 old_size, u32 align, u32 size) { return -align; }
__attribute__((export_name("_start"))) void start(void) {
  random_bytes(64, ret);
  proc_exit(250);
}
