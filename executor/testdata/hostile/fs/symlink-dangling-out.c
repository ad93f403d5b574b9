// Creates a file outside through a link that dangles.
#include "hostile.h"

void _start(void) {
  int fd;
  MUST(symlink_("../outside/planted", "l"), OK);
  MUST(creating("l", &fd), EPERM);
  MUST(open_(ROOT, "l", FOLLOW, CREAT | TRUNC, R_ALL, &fd), EPERM);
  MUST(open_(ROOT, "l", FOLLOW, CREAT | EXCL, R_ALL, &fd), EEXIST);
  MUST(symlink_("l", "l2"), OK);
  MUST(creating("l2", &fd), EPERM);
  MUST(mkdir_("l"), EEXIST);
}
