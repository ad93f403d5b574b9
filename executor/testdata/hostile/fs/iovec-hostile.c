// Scatter/gather lists that overlap, overflow, leave memory, or are endless.
#include "hostile.h"

void _start(void) {
  static char b[64];
  iovec v[8];
  u32 n;
  int fd;
  MUST(creating("f", &fd), OK);
  MUST(write_(fd, "0123456789"), OK);
  for (int i = 0; i < 8; i++) v[i].buf = v, v[i].len = 8; // reads over the list itself
  MUST(fd_pread(fd, v, 8, 0, &n), OK);
  MUST(n, 10);
  MUST(fd_pread(fd, (iovec *)0xfffffff8, 1, 0, &n), EFAULT);
  MUST(fd_pread(fd, (iovec *)0xfffffff8, 2, 0, &n), EFAULT);
  MUST(fd_pread(fd, v, 0xffffffff, 0, &n), EINVAL);
  MUST(fd_pread(fd, v, 0x20000001, 0, &n), EINVAL); // times 8 it is 8
  MUST(fd_pread(fd, v, 1025, 0, &n), EINVAL);
  v[0].buf = b, v[0].len = 4;
  v[1].buf = b + 2, v[1].len = 4; // overlapping buffers are the guest's own affair
  MUST(fd_pread(fd, v, 2, 0, &n), OK);
  MUST(n, 8);
  v[1].buf = (void *)0xfffffff0, v[1].len = 0x20;
  MUST(fd_pread(fd, v, 2, 0, &n), EFAULT);
  MUST(fd_write(fd, v, 2, &n), EFAULT);
  v[1].buf = 0, v[1].len = 0xffffffff;
  MUST(fd_write(fd, v, 2, &n), EFAULT);
  MUST(fd_write(1, v, 2, &n), EFAULT);
  v[0].buf = (void *)0xffffffff, v[0].len = 0;
  MUST(fd_read(fd, v, 1, &n), EFAULT); // out of memory even if nothing is moved
  v[0].buf = b, v[0].len = 4;
  MUST(fd_write(fd, v, 1, (u32 *)0xfffffffd), EFAULT);
  filestat st;
  MUST(fd_filestat_get(fd, &st), OK);
  MUST(st.size, 10); // none of the failed writes wrote
  static iovec whole[1024];
  for (int i = 0; i < 1024; i++) whole[i].buf = 0, whole[i].len = 65536;
  MUST(fd_write(fd, whole, 1024, &n), ENOSPC); // 64 MiB out of 128 KiB of memory
}
