// A trailing slash makes Linux follow a link that the call itself would not.
#include "hostile.h"

void _start(void) {
  MUST(symlink_("../outside", "d"), OK);
  MUST(symlink_("../outside/canary", "f"), OK);
  filestat st;
  int fd;
  char b[16];
  u32 n;
  MUST(stat_("d/", 0, &st), EPERM);
  MUST(stat_("f/", 0, &st), EPERM);
  MUST(open_(ROOT, "d/", 0, 0, R_RO, &fd), EPERM);
  MUST(open_(ROOT, "d/", 0, DIRECTORY, R_RO, &fd), EPERM);
  MUST(utimes_("d/", 0), EPERM);
  MUST(path_readlink(ROOT, "d/", 2, b, 16, &n), EPERM);
  MUST(rmdir_("d/"), ENOTDIR);
  MUST(unlink_("d/"), ENOTDIR);
  MUST(unlink_("f/"), ENOTDIR);
  MUST(rename_("d/", "x"), ENOTDIR);
  MUST(rename_("hello.txt", "d/"), ENOTDIR);
  MUST(mkdir_("d/"), EEXIST);
  MUST(symlink_("x", "d/"), EEXIST);
  MUST(symlink_("x", "new/"), ENOENT);
  MUST(link_("d/", "x"), ENOTDIR);
  MUST(link_("hello.txt", "d/"), EEXIST);
  MUST(link_("hello.txt", "new/"), ENOENT);
  MUST(creating("new/", &fd), EISDIR);
}
