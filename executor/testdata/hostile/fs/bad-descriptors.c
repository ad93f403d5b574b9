// Every call with descriptors that are not open.
#include "hostile.h"

void _start(void) {
  static const int bad[] = {4, 99, 1000, 0x7fffffff, -1, -2, (int)0x80000000, 0x10003};
  u64 a;
  u32 n;
  filestat st;
  fdstat fst;
  iovec v = {"x", 1};
  int fd;
  for (int i = 0; i < 8; i++) {
    int b = bad[i];
    MUST(fd_advise(b, 0, 0, 0), EBADF);
    MUST(fd_allocate(b, 0, 1), EBADF);
    MUST(fd_close(b), EBADF);
    MUST(fd_datasync(b), EBADF);
    MUST(fd_sync(b), EBADF);
    MUST(fd_fdstat_get(b, &fst), EBADF);
    MUST(fd_fdstat_set_flags(b, 0), EBADF);
    MUST(fd_fdstat_set_rights(b, 0, 0), EBADF);
    MUST(fd_filestat_get(b, &st), EBADF);
    MUST(fd_filestat_set_size(b, 0), EBADF);
    MUST(fd_filestat_set_times(b, 0, 0, 0), EBADF);
    MUST(fd_pread(b, &v, 1, 0, &n), EBADF);
    MUST(fd_pwrite(b, &v, 1, 0, &n), EBADF);
    MUST(fd_read(b, &v, 1, &n), EBADF);
    MUST(fd_write(b, &v, 1, &n), EBADF);
    MUST(fd_readdir(b, &st, 8, 0, &n), EBADF);
    MUST(fd_seek(b, 0, 0, &a), EBADF);
    MUST(fd_tell(b, &a), EBADF);
    MUST(fd_prestat_get(b, &n), EBADF);
    MUST(fd_prestat_dir_name(b, (char *)&a, 1), EBADF);
    MUST(fd_renumber(b, b), EBADF);
    MUST(path_create_directory(b, "x", 1), EBADF);
    MUST(path_filestat_get(b, 0, "x", 1, &st), EBADF);
    MUST(path_filestat_set_times(b, 0, "x", 1, 0, 0, 0), EBADF);
    MUST(path_link(b, 0, "x", 1, ROOT, "y", 1), EBADF);
    MUST(path_link(ROOT, 0, "x", 1, b, "y", 1), EBADF);
    MUST(path_open(b, 0, "x", 1, 0, 0, 0, 0, &fd), EBADF);
    MUST(path_readlink(b, "x", 1, &st, 8, &n), EBADF);
    MUST(path_remove_directory(b, "x", 1), EBADF);
    MUST(path_rename(b, "x", 1, ROOT, "y", 1), EBADF);
    MUST(path_rename(ROOT, "x", 1, b, "y", 1), EBADF);
    MUST(path_symlink("x", 1, b, "y", 1), EBADF);
    MUST(path_unlink_file(b, "x", 1), EBADF);
  }
}
