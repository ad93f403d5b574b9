// Appends from two descriptors and writes at positions, which Linux confuses on
// a descriptor that appends.
#include "hostile.h"

void _start(void) {
  int a, b;
  u32 n;
  u64 pos;
  char buf[32];
  iovec v = {"XY", 2}, r = {buf, 32};
  MUST(path_open(ROOT, 0, "f", 1, CREAT, R_ALL, 0, APPEND, &a), OK);
  MUST(path_open(ROOT, 0, "f", 1, 0, R_ALL, 0, APPEND, &b), OK);
  MUST(write_(a, "aaaa"), OK);
  MUST(write_(b, "bbbb"), OK);
  MUST(write_(a, "cccc"), OK);
  MUST(fd_tell(a, &pos), OK);
  MUST(pos, 12);
  MUST(fd_pwrite(a, &v, 1, 1, &n), OK);
  MUST(fd_pread(b, &r, 1, 0, &n), OK);
  MUST(n, 12);
  MUST(buf[0] == 'a' && buf[1] == 'X' && buf[2] == 'Y' && buf[3] == 'a' && buf[4] == 'b' && buf[8] == 'c', 1);
  MUST(fd_fdstat_set_flags(a, 0), OK);
  MUST(fd_seek(a, 0, 0, &pos), OK);
  MUST(write_(a, "zz"), OK);
  filestat st;
  MUST(fd_filestat_get(a, &st), OK);
  MUST(st.size, 12);
}
