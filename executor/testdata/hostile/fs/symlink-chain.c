// Reaches the outside by links to links, no one of which leaves on its own.
#include "hostile.h"

void _start(void) {
  MUST(mkdir_("a"), OK);
  MUST(mkdir_("a/b"), OK);
  MUST(symlink_("..", "a/b/up"), OK);       // a
  MUST(symlink_("b/up/..", "a/top"), OK);   // the root
  MUST(symlink_("a/top/..", "out"), OK);    // above it
  MUST(symlink_("out/outside/canary", "l"), OK);
  EVERYTHING("l", EPERM);
  EVERYTHING("out/outside/canary", EPERM);
  filestat st;
  MUST(stat_("a/top/hello.txt", FOLLOW, &st), OK); // the part that stays inside works
}
