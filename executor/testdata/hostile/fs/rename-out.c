// Moves files and directories over the edge of the mount, both ways.
#include "hostile.h"

void _start(void) {
  MUST(mkdir_("d"), OK);
  MUST(rename_("hello.txt", "../outside/x"), EPERM);
  MUST(rename_("hello.txt", "../outside/canary"), EPERM);
  MUST(rename_("d", "../d"), EPERM);
  MUST(rename_("../outside/canary", "c"), EPERM);
  MUST(rename_("../outside", "d"), EPERM);
  MUST(rename_("d/../../outside/canary", "c"), EPERM);
  MUST(rename_(".", "x"), EBUSY);
  MUST(rename_("d", "."), EBUSY);
  MUST(rename_("d/..", "x"), EBUSY);
  MUST(rename_("..", "x"), EPERM);
}
