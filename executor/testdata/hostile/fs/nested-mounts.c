// Takes a nested mount apart: its mount point, the way to it, its parent.
#include "hostile.h"

void _start(void) {
  int fd, d;
  filestat st;
  MUST(stat_("data/hello.txt", 0, &st), OK);
  MUST(rmdir_("data"), EBUSY);
  MUST(rename_("data", "x"), EBUSY);
  MUST(rename_("dir", "data"), EBUSY);
  MUST(unlink_("data"), EISDIR);
  MUST(mkdir_("data"), EEXIST);
  MUST(rmdir_("deep"), EBUSY);          // on the way to a mount
  MUST(rename_("deep", "x"), EBUSY);
  MUST(rename_("deep/er", "deep/x"), EBUSY);
  MUST(mkdir_("deep/other"), OK);       // beside it is free
  MUST(rename_("deep/other", "deep/x"), OK);
  MUST(stat_("deep/er/data/hello.txt", 0, &st), OK);
  MUST(stat_("deep/x/../er/data/hello.txt", 0, &st), OK);
  MUST(stat_("data/../hello.txt", 0, &st), OK);
  MUST(stat_("data/../../outside/canary", 0, &st), EPERM);
  MUST(symlink_("deep/er", "l"), OK);
  MUST(stat_("l/data/hello.txt", 0, &st), OK);
  MUST(open_(ROOT, "deep", 0, DIRECTORY, R_ALL & ~R_WRITE, &d), OK);
  MUST(path_filestat_get(d, 0, "er/data/hello.txt", 17, &st), OK);
  MUST(path_remove_directory(d, "er", 2), EBUSY);
  MUST(path_filestat_get(d, 0, "../hello.txt", 12, &st), EPERM);
  // The nested mount is its own preopened directory too, and knows no way up.
  MUST(path_filestat_get(4, 0, "../hello.txt", 12, &st), EPERM);
  MUST(open_(4, "..", 0, DIRECTORY, R_RO, &fd), EPERM);
  MUST(path_rename(ROOT, "hello.txt", 9, 4, "x", 1), EXDEV);
  MUST(path_link(ROOT, 0, "hello.txt", 9, 4, "x", 1), EROFS);
}
