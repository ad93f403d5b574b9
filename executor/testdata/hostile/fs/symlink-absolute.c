// Makes absolute links, and follows one that the host staged.
#include "hostile.h"

void _start(void) {
  MUST(symlink_("/etc/passwd", "l"), EPERM);
  MUST(symlink_("/", "l"), EPERM);
  MUST(symlink_("//etc/passwd", "l"), EPERM);
  EVERYTHING("absolute-link", EPERM);
  EVERYTHING("absolute-dir/canary", EPERM);
}
