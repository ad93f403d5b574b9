// Swaps a directory for a link between naming it and using it.
#include "hostile.h"

void _start(void) {
  int d, fd;
  MUST(mkdir_("d"), OK);
  MUST(creating("d/f", &fd), OK);
  MUST(open_(ROOT, "d", 0, DIRECTORY, R_RO, &d), OK);
  MUST(rename_("d", "gone"), OK);
  MUST(symlink_("../outside", "d"), OK);
  EVERYTHING("d/canary", EPERM);
  MUST(open_(d, "f", 0, 0, R_RO, &fd), OK); // the descriptor goes with the directory
  MUST(open_(d, "canary", 0, 0, R_RO, &fd), ENOENT);
  MUST(open_(d, "../d/canary", 0, 0, R_RO, &fd), EPERM);
}
