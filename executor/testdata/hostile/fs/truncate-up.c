// Grows files by setting their size.
#include "hostile.h"

void _start(void) {
  int fd;
  filestat st;
  MUST(creating("f", &fd), OK);
  MUST(fd_filestat_set_size(fd, 1ull << 40), ENOSPC);
  MUST(fd_filestat_set_size(fd, 0xffffffffffffffff), EINVAL);
  MUST(fd_filestat_set_size(fd, 0x7fffffffffffffff), ENOSPC);
  MUST(fd_filestat_set_size(fd, 600000), OK);
  MUST(fd_filestat_set_size(fd, 0), OK);
  MUST(fd_filestat_set_size(fd, 600000), ENOSPC); // shrinking gave nothing back
  MUST(fd_filestat_get(fd, &st), OK);
  MUST(st.size, 0);
}
