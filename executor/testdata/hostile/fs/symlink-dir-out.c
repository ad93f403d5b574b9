// Uses a link to a directory outside as a step of a path, for every operation.
#include "hostile.h"

void _start(void) {
  char b[16];
  u32 n;
  MUST(symlink_("../outside", "d"), OK);
  EVERYTHING("d/canary", EPERM);
  EVERYTHING("d/", EPERM);
  EVERYTHING("d/.", EPERM);
  MUST(mkdir_("d/x"), EPERM);
  MUST(rmdir_("d/x"), EPERM);
  MUST(unlink_("d/canary"), EPERM);
  MUST(rename_("d/canary", "c"), EPERM);
  MUST(rename_("hello.txt", "d/x"), EPERM);
  MUST(link_("d/canary", "c"), EPERM);
  MUST(link_("hello.txt", "d/x"), EPERM);
  MUST(symlink_("x", "d/x"), EPERM);
  MUST(path_readlink(ROOT, "d/link", 6, b, 16, &n), EPERM);
  MUST(stat_("d/canary", 0, (filestat *)0x1000), EPERM);
  MUST(utimes_("d/canary", 0), EPERM);
}
