// Walks down and up again by descriptors and by paths with "..", while the
// host moves the directories about and out of the mount.
#include "hostile.h"

void _start(void) {
  for (int i = 0; i < 2000; i++) {
    int a, fd;
    filestat st;
    if (!open_(ROOT, "a/b", FOLLOW, DIRECTORY, R_ALL & ~R_WRITE, &a)) {
      MUST(open_(a, "../../outside/canary", FOLLOW, 0, R_RO, &fd), EPERM);
      MUST(open_(a, "../../../outside/canary", FOLLOW, 0, R_RO, &fd), EPERM);
      if (!path_filestat_get(a, 0, "..", 2, &st)) fail("climbed out", __LINE__, 0, EPERM);
      fd_close(a);
    }
    if (!open_(ROOT, "a/b/c/../../../../outside/canary", FOLLOW, 0, R_RO, &fd)) fail("walked out", __LINE__, 0, EPERM);
    if (!open_(ROOT, "a/b/../../../outside/canary", FOLLOW, 0, R_RO, &fd)) fail("walked out", __LINE__, 0, EPERM);
  }
}
