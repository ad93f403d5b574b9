// Uses the standard streams as files and directories.
#include "hostile.h"

void _start(void) {
  filestat st;
  u64 a;
  u32 n;
  int fd;
  iovec v = {"x", 1};
  for (int i = 0; i < 3; i++) {
    MUST(fd_filestat_get(i, &st), OK);
    MUST(st.type, T_UNKNOWN);
    MUST(fd_filestat_set_size(i, 0), EINVAL);
    MUST(fd_filestat_set_times(i, 1, 1, 5), EBADF);
    MUST(fd_allocate(i, 0, 1), ESPIPE);
    MUST(fd_pwrite(i, &v, 1, 0, &n), ESPIPE);
    MUST(fd_pread(i, &v, 1, 0, &n), ESPIPE);
    MUST(fd_readdir(i, &st, 8, 0, &n), ENOTDIR);
    MUST(path_open(i, 0, "x", 1, 0, 0, 0, 0, &fd), ENOTDIR);
    MUST(path_create_directory(i, "x", 1), ENOTDIR);
    MUST(fd_prestat_get(i, &n), EBADF);
  }
  MUST(fd_sync(1), OK);
  MUST(fd_seek(0, 0, 0, &a), ESPIPE);
}
