// Opens the host's devices in a mount of /dev.
#include "hostile.h"

void _start(void) {
  int fd;
  filestat st;
  MUST(stat_("null", 0, &st), OK);
  MUST(st.type, T_CHAR);
  MUST(reading("null", &fd), EACCES);
  MUST(reading("zero", &fd), EACCES);
  MUST(reading("tty", &fd), EACCES);
  MUST(open_(ROOT, "null", FOLLOW, 0, 0, &fd), EACCES);
  MUST(open_(ROOT, "null", FOLLOW, CREAT, R_RO, &fd), EACCES);
  MUST(writing("null", &fd), EACCES);
  MUST(reading("fd/0", &fd), EPERM); // a link to /proc/self/fd
  MUST(reading("shm/x", &fd), EPERM); // another file system
}
