// A dangling link that stays inside is followed by a creating open.
#include "hostile.h"

void _start(void) {
  int fd;
  filestat st;
  MUST(mkdir_("d"), OK);
  MUST(symlink_("d/made", "l"), OK);
  MUST(creating("l", &fd), OK);
  MUST(write_(fd, "inside"), OK);
  MUST(stat_("d/made", 0, &st), OK);
  MUST(st.type, T_FILE);
  MUST(st.size, 6);
  MUST(symlink_("d/other", "m"), OK);
  MUST(open_(ROOT, "m", 0, CREAT, R_ALL, &fd), ELOOP);
  MUST(stat_("d/other", 0, &st), ENOENT);
}
