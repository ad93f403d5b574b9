// Grows files by fd_allocate, with sums that overflow.
#include "hostile.h"

void _start(void) {
  int fd;
  filestat st;
  MUST(creating("f", &fd), OK);
  MUST(fd_allocate(fd, 0, 1ull << 40), ENOSPC);
  MUST(fd_allocate(fd, 1ull << 40, 1), ENOSPC);
  MUST(fd_allocate(fd, 0x7fffffffffffffff, 1), EFBIG);
  MUST(fd_allocate(fd, 0x8000000000000000, 1), EINVAL);
  MUST(fd_allocate(fd, 1, 0x8000000000000000), EINVAL);
  MUST(fd_allocate(fd, 0, 0), EINVAL);
  MUST(fd_allocate(fd, 0, 1000), OK);
  MUST(fd_allocate(fd, 10, 10), OK);
  MUST(fd_filestat_get(fd, &st), OK);
  MUST(st.size, 1000);
  MUST(fd_allocate(fd, 0, (1 << 20) + 1), ENOSPC);
}
