// One byte far behind the end makes a file that looks huge.
#include "hostile.h"

void _start(void) {
  int fd;
  u64 pos;
  u32 n;
  iovec v = {"x", 1};
  MUST(creating("f", &fd), OK);
  MUST(fd_pwrite(fd, &v, 1, 1ull << 40, &n), ENOSPC);
  MUST(fd_seek(fd, 1ll << 40, 0, &pos), OK); // a position is free
  MUST(fd_write(fd, &v, 1, &n), ENOSPC);
  MUST(fd_pwrite(fd, &v, 1, 0x7fffffffffffffff, &n), EFBIG);
  MUST(fd_pwrite(fd, &v, 1, 0x8000000000000000, &n), EINVAL);
  MUST(fd_pwrite(fd, &v, 1, 0xffffffffffffffff, &n), EINVAL);
  MUST(fd_pwrite(fd, &v, 1, 1000000, &n), OK);
  MUST(fd_pwrite(fd, &v, 1, 1048575, &n), OK); // the hole up to here is paid once
  MUST(fd_pwrite(fd, &v, 1, 10, &n), ENOSPC);  // and it was paid
  filestat st;
  MUST(fd_filestat_get(fd, &st), OK);
  MUST(st.size, 1048576);
}
