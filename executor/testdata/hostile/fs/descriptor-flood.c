// Opens files until it is stopped; closing makes room again.
#include "hostile.h"

void _start(void) {
  int fd, n = 0, e, first = -1;
  while (!(e = reading("hello.txt", &fd))) {
    if (first < 0) first = fd;
    if (++n > 100000) break;
  }
  MUST(e, EMFILE);
  MUST(n, 32);
  MUST(open_(ROOT, "dir", 0, DIRECTORY, R_RO, &fd), EMFILE);
  MUST(creating("new", &fd), EMFILE);
  filestat st;
  MUST(stat_("new", 0, &st), ENOENT); // nothing was made that could not be opened
  MUST(fd_close(first), OK);
  MUST(reading("hello.txt", &fd), OK);
  MUST(fd, first);
}
