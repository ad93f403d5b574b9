// Climbs out of a subdirectory it was given a descriptor of: paths are confined
// to the descriptor, not only to the mount.
#include "hostile.h"

void _start(void) {
  int d, fd;
  filestat st;
  MUST(open_(ROOT, "dir", 0, DIRECTORY, R_RO, &d), OK);
  MUST(path_filestat_get(d, 0, "../hello.txt", 12, &st), EPERM);
  MUST(open_(d, "..", 0, DIRECTORY, R_RO, &fd), EPERM);
  MUST(path_symlink("../hello.txt", 12, ROOT, "dir/up", 6), OK);
  MUST(path_filestat_get(d, FOLLOW, "up", 2, &st), EPERM);
  MUST(stat_("dir/up", FOLLOW, &st), OK); // the same link, from above
  MUST(path_create_directory(d, "../x", 4), EPERM);
  MUST(path_rename(d, "inner.txt", 9, d, "../x", 4), EPERM);
}
