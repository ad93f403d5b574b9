// Makes a relative link out of its mount and uses it every way there is. With
// plain directory mounts this reads and overwrites any file of the host.
#include "hostile.h"

void _start(void) {
  MUST(symlink_("../outside/canary", "l"), OK);
  EVERYTHING("l", EPERM);
  filestat st;
  MUST(stat_("l", 0, &st), OK); // the link itself is ours
  MUST(st.type, T_LINK);
  int fd;
  MUST(open_(ROOT, "l", 0, 0, R_RO, &fd), ELOOP);
  MUST(open_(ROOT, "l", 0, CREAT, R_ALL, &fd), ELOOP);
  MUST(open_(ROOT, "l", FOLLOW, CREAT | EXCL, R_ALL, &fd), EEXIST);
}
