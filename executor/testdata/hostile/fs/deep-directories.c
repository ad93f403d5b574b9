// Digs directories through descriptors until it is stopped, then tries to get
// deeper by moving one dug tree below another.
#include "hostile.h"

void _start(void) {
  int d = ROOT, fd, depth = 0, e;
  while (!(e = path_create_directory(d, "d", 1))) {
    MUST(path_open(d, 0, "d", 1, DIRECTORY, R_RO, R_RO, 0, &fd), OK);
    if (d != ROOT) fd_close(d);
    d = fd;
    if (++depth > 1000) break;
  }
  MUST(e, EDQUOT);
  MUST(depth, 16);
  MUST(mkdir_("e"), OK);
  MUST(mkdir_("e/f"), OK);
  MUST(path_rename(ROOT, "e", 1, d, "e", 1), EDQUOT);
  MUST(path_rename(ROOT, "e", 1, ROOT, "d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/e", 31), EDQUOT); // would end at 17
  MUST(path_rename(ROOT, "e", 1, ROOT, "d/d/d/d/d/d/d/d/d/d/d/d/d/d/e", 29), OK);
}
