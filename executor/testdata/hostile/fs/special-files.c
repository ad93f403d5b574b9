// Opens the FIFO and the socket that came with the inputs.
#include "hostile.h"

void _start(void) {
  int fd;
  filestat st;
  MUST(stat_("fifo", 0, &st), OK);
  MUST(st.type, T_UNKNOWN);
  MUST(stat_("socket", 0, &st), OK);
  MUST(st.type, T_STREAM);
  MUST(reading("fifo", &fd), EACCES);
  MUST(writing("fifo", &fd), EACCES);
  MUST(creating("fifo", &fd), EACCES);
  MUST(open_(ROOT, "fifo", FOLLOW, TRUNC, R_ALL, &fd), EACCES);
  MUST(open_(ROOT, "fifo", 0, DIRECTORY, R_RO, &fd), ENOTDIR);
  MUST(reading("socket", &fd), EACCES);
  MUST(writing("socket", &fd), EACCES);
  MUST(creating("socket", &fd), EACCES);
  MUST(symlink_("fifo", "l"), OK);
  MUST(reading("l", &fd), EACCES);
  MUST(creating("l", &fd), EACCES);
  MUST(link_("fifo", "fifo2"), OK);
  MUST(reading("fifo2", &fd), EACCES);
  MUST(rename_("fifo2", "fifo3"), OK);
  MUST(unlink_("fifo3"), OK);
}
