// Takes a hard link of an outside file through a symbolic link, which plain
// mounts allow, and then of the link itself, which is harmless.
#include "hostile.h"

void _start(void) {
  MUST(symlink_("../outside/canary", "l"), OK);
  MUST(path_link(ROOT, FOLLOW, "l", 1, ROOT, "c", 1), EINVAL);
  MUST(link_("l", "c"), OK); // another name of the symbolic link
  filestat st;
  MUST(stat_("c", 0, &st), OK);
  MUST(st.type, T_LINK);
  EVERYTHING("c", EPERM);
  MUST(link_("../outside/canary", "d"), EPERM);
  MUST(link_("hello.txt", "../outside/d"), EPERM);
}
