// Moves a directory below itself, and over what it cannot replace.
#include "hostile.h"

void _start(void) {
  MUST(mkdir_("d"), OK);
  MUST(mkdir_("d/e"), OK);
  MUST(rename_("d", "d/e/f"), EINVAL);
  MUST(rename_("d", "hello.txt"), ENOTDIR);
  MUST(rename_("hello.txt", "d"), EISDIR);
  MUST(rename_("d/e", "d"), ENOTEMPTY);
  MUST(rename_("hello.txt/", "x"), ENOTDIR);
  MUST(rename_("hello.txt", "x/"), ENOTDIR);
  MUST(rename_("none", "x"), ENOENT);
}
