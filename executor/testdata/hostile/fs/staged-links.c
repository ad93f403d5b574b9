// Links that came with the inputs: out of the mount by every route.
#include "hostile.h"

void _start(void) {
  EVERYTHING("absolute-link", EPERM);
  EVERYTHING("relative-link", EPERM);
  EVERYTHING("relative-dir/canary", EPERM);
  EVERYTHING("dangling-link", EPERM);
  EVERYTHING("dots-link", EPERM);
  filestat st;
  char b[64];
  u32 n;
  MUST(stat_("relative-link", 0, &st), OK);
  MUST(st.type, T_LINK);
  MUST(path_readlink(ROOT, "relative-link", 13, b, 64, &n), OK); // its text is no secret
  MUST(stat_("inside-link", FOLLOW, &st), OK);
  MUST(st.type, T_FILE);
}
