// Gives rights up and tries to get them back by every route.
#include "hostile.h"

void _start(void) {
  int fd, d, e;
  fdstat st;
  u32 n;
  iovec v = {"x", 1};
  filestat fst;
  MUST(path_open(ROOT, 0, "dir", 3, DIRECTORY, R_RO, R_READ, 0, &d), OK);
  MUST(path_open(d, 0, "inner.txt", 9, 0, R_READ | R_WRITE, 0, 0, &fd), ENOTCAPABLE);
  MUST(path_open(d, 0, "inner.txt", 9, 0, R_READ, R_WRITE, 0, &fd), ENOTCAPABLE);
  MUST(path_open(d, 0, ".", 1, DIRECTORY, R_RO, R_ALL, 0, &e), ENOTCAPABLE);
  MUST(path_open(d, 0, "inner.txt", 9, 0, R_READ, 0, 0, &fd), OK);
  MUST(fd_write(fd, &v, 1, &n), ENOTCAPABLE);
  MUST(fd_pwrite(fd, &v, 1, 0, &n), ENOTCAPABLE);
  MUST(fd_allocate(fd, 0, 1), ENOTCAPABLE);
  MUST(fd_filestat_set_size(fd, 0), ENOTCAPABLE);
  MUST(fd_filestat_set_times(fd, 0, 0, 1), ENOTCAPABLE);
  MUST(fd_filestat_get(fd, &fst), ENOTCAPABLE);
  MUST(fd_fdstat_set_flags(fd, APPEND), ENOTCAPABLE);
  MUST(fd_fdstat_set_rights(fd, R_ALL, 0), ENOTCAPABLE);
  MUST(fd_fdstat_set_rights(fd, R_READ, R_READ), ENOTCAPABLE);
  MUST(fd_fdstat_set_rights(fd, ~0ull, ~0ull), ENOTCAPABLE);
  MUST(fd_fdstat_set_rights(fd, 0, 0), OK);
  MUST(fd_read(fd, &v, 1, &n), ENOTCAPABLE);
  MUST(fd_fdstat_set_rights(fd, R_READ, 0), ENOTCAPABLE);
  MUST(fd_fdstat_get(ROOT, &st), OK);
  MUST(fd_fdstat_set_rights(ROOT, st.base & ~(1ull << 10), st.inheriting & ~R_WRITE), OK);
  MUST(creating("new", &fd), ENOTCAPABLE); // path_create_file is gone
  MUST(writing("hello.txt", &fd), ENOTCAPABLE);
  MUST(fd_fdstat_set_rights(ROOT, st.base, st.inheriting), ENOTCAPABLE);
  MUST(fd_fdstat_set_rights(ROOT, 0, 0), OK);
  MUST(reading("hello.txt", &fd), ENOTCAPABLE);
  MUST(stat_("hello.txt", 0, &fst), ENOTCAPABLE);
  MUST(mkdir_("x"), ENOTCAPABLE);
  MUST(unlink_("hello.txt"), ENOTCAPABLE);
  MUST(rename_("hello.txt", "x"), ENOTCAPABLE);
  MUST(link_("hello.txt", "x"), ENOTCAPABLE);
  MUST(symlink_("x", "y"), ENOTCAPABLE);
  MUST(fd_readdir(ROOT, &st, 16, 0, &n), ENOTCAPABLE);
  MUST(fd_write(0, &v, 1, &n), ENOTCAPABLE);
  MUST(fd_read(1, &v, 1, &n), ENOTCAPABLE);
}
