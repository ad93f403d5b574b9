// Paths are relative to a descriptor; absolute ones mean nothing here.
#include "hostile.h"

void _start(void) {
  EVERYTHING("/etc/hostname", EPERM);
  EVERYTHING("/", EPERM);
  EVERYTHING("//", EPERM);
  EVERYTHING("/hello.txt", EPERM);
  MUST(mkdir_("/x"), EPERM);
  MUST(rename_("hello.txt", "/x"), EPERM);
  MUST(unlink_("/hello.txt"), EPERM);
  MUST(path_open(ROOT, 0, "", 0, 0, 0, 0, 0, (int *)0x1000), ENOENT);
}
