// Hard links to directories would make trees without end.
#include "hostile.h"

void _start(void) {
  MUST(mkdir_("d"), OK);
  MUST(link_("d", "d/again"), EPERM);
  MUST(link_("d", "e"), EPERM);
  MUST(link_(".", "e"), EPERM);
  MUST(link_("d/", "e"), EPERM);
  MUST(link_("hello.txt", "hello.txt"), EEXIST);
  MUST(link_("hello.txt", "d"), EEXIST);
}
