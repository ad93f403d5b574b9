// Links that lead to themselves, and to each other.
#include "hostile.h"

void _start(void) {
  MUST(symlink_("l", "l"), OK);
  EVERYTHING("l", ELOOP);
  MUST(symlink_("b", "a"), OK);
  MUST(symlink_("a", "b"), OK);
  EVERYTHING("a", ELOOP);
  EVERYTHING("a/x", ELOOP);
}
