// Moves descriptors to numbers of its choice.
#include "hostile.h"

void _start(void) {
  int a, b;
  u32 n;
  MUST(creating("a", &a), OK);
  MUST(creating("b", &b), OK);
  MUST(fd_renumber(a, 1000000), EBADF);
  MUST(fd_renumber(a, -1), EBADF);
  MUST(fd_renumber(-1, a), EBADF);
  MUST(fd_renumber(0x7fffffff, 0x7fffffff), EBADF);
  MUST(fd_renumber(a, a), OK);
  MUST(fd_renumber(a, 1), OK); // stdout is a file now
  MUST(write_(1, "to the file"), OK);
  MUST(fd_close(a), EBADF);
  filestat st;
  MUST(stat_("a", 0, &st), OK);
  MUST(st.size, 11);
  MUST(fd_renumber(0, b), OK);
  iovec v = {"x", 1};
  MUST(fd_pwrite(b, &v, 1, 0, &n), ESPIPE);
}
