// Makes empty files, directories and links until it is stopped. Removing makes room.
#include "hostile.h"

void _start(void) {
  char p[] = "f00";
  int fd, n = 0, e;
  while (!(e = creating(p, &fd))) {
    fd_close(fd);
    n++;
    p[1] = 'a' + n / 26, p[2] = 'a' + n % 26;
    if (n > 600) break;
  }
  MUST(e, EDQUOT);
  MUST(n, 100);
  MUST(mkdir_("d"), EDQUOT);
  MUST(symlink_("x", "l"), EDQUOT);
  MUST(link_("hello.txt", "h"), EDQUOT);
  MUST(creating("hello.txt", &fd), OK); // exists already
  MUST(mkdir_("dir"), EEXIST);
  MUST(unlink_("faa"), ENOENT);
  MUST(unlink_("f00"), OK);
  MUST(mkdir_("d"), OK);
  MUST(creating("z", &fd), EDQUOT);
  MUST(rename_("d", "f00"), OK);        // moving costs nothing
  MUST(rename_("fab", "fac"), OK);      // replacing one frees one
  MUST(creating("z", &fd), OK);
  MUST(creating("zz", &fd), EDQUOT);
}
